"""What a request goes through on its way to an operation, and its answer on the way back:

    record > limits > CORS > authenticate > authorize > operation > render

`bleepstore_server.app` goes through them, and calls an operation once it is known who asks. The layers here are those
that have more to say than a few lines. They share one `Exchange`.
"""
