"""Engines: many jobs at a time, on this machine or on a cluster, each of which may fail.

job        what is to be done, and how it ended
local      on this machine: loky, a process for each job
cluster    on a Ray cluster: an actor for each job
choose     which of them, by a text such as ``local`` or ``ray://head:10001``
code       what tells two installations of spiq apart
"""
