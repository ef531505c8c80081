"""What runs in the peers' own environment (``make bench-peers``): one script a peer, none imports this project."""
