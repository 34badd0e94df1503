"""``qcfeed diagnose``: the evidence is gathered, judged and shown; ``report`` and ``top`` gather it too."""
