"""What a request goes through on its way to an operation, and its answer on the way back:

    record > limits > CORS > authenticate > authorize > operation > render

Each layer is a function or a small class in a file of its own; `bleepstore_server.app` calls one after the other. They
share one `Exchange`.
"""
