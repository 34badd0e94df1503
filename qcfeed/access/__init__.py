"""Who a client is, and what it may do: addresses, API keys, tokens, proxies and limits, as pure logic."""
