"""Who a client is, and what it may do: addresses, proxies and limits, as pure logic."""
