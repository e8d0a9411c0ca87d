"""Where blobs live. `base` has the protocol; each other module or package is one backend."""
