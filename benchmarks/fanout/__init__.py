"""Fan-out beside peers: deliveries, latency, churn, memory, and the cost of stopped readers."""
