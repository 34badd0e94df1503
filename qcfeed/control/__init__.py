"""The control plane: HTTP over a Unix socket, through which commands read and control a running process.

server.py serves it from its own thread, client.py calls it; the answers are in qcfeed/model.
"""
