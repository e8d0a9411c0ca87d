"""What becomes of each request, as spans of OpenTelemetry (`bleepstore[traces]`).

requests   the span of a request, from its traceparent and its record
exporting  sends spans to a collector, and never waits for one

What a request waits for in the store are spans of `bleepstore.traces`.
"""
