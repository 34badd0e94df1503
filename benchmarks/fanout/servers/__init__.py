"""The peers: each as small, and as fair, as its own documentation recommends.

All send the simulator's quotes, byte for byte as qcfeed would, and say ``ready PORT`` on stdout.
"""
