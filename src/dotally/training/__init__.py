"""``dotally fit``, ``validate`` and ``test``: Lightning's command line for training on one's own data."""
