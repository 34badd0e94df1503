"""Fan-out beside its peers: deliveries, latency, churn, memory, and what stopped readers cost."""
