"""The library: documents, conversations and jobs of the people of one machine, in SQLite and a folder of files.

``store.Library`` opens a home and keeps documents; ``jobs.Jobs`` is the queue; ``threads.Threads`` the conversations.
Nothing is imported here, so that the parser process and the settings stay light.
"""
