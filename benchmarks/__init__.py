"""What the README's figures come from. Ratios in one run on one machine; never a timed test."""
