"""What the gateways to cloud storage share: names, metadata, retries, and streams."""
