"""What a server counts, for those who watch it.

page        numbers that the processes of a server share
counting    what is counted of requests, commits and all else, where it happens
collecting  what is asked of the store when somebody reads the numbers
exposition  all of it, as Prometheus reads it
"""
