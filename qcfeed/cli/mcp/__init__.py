"""``qcfeed mcp``: the commands as tools of the Model Context Protocol, for agents that assist on call."""
