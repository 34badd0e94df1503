"""The peers, each as small and as fast as its own documentation recommends.

All send the simulator's quotes, byte for byte as qcfeed does, and print ``ready PORT`` to stdout.
"""
