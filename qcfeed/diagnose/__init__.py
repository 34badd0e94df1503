"""The verdict of `qcfeed diagnose`: pure rules over the evidence, each cause before its symptoms."""
