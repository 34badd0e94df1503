"""The cluster's logic: subjects, shares, the lease, interest and epochs. No I/O; time is an argument."""
