"""Every snippet of every page is run, or has a reason in plan.py why not."""
