"""What a server tells and lets do those who run it, at an address of its own.

rows       what a row of the table is: a path, who may ask, what is read and answered
table      all rows
app        the WSGI app that answers by them
health     whether the server is well
"""
