"""What a store does by itself, in the background: it changes the catalog by commands only.

A *job* is a small class with one method, `run`, which does a limited amount of work and says whether its pass is over.
`Jobs` decides what runs when. It has one thread for a store, and of several processes that have a folder open one runs
the jobs: the one that holds the *lease*.
"""

from bleepstore.jobs.job import Budget, Job, JobStatus, Ran
from bleepstore.jobs.scheduler import Jobs
from bleepstore.jobs.sweeping import Sweeping

__all__ = ["Budget", "Job", "JobStatus", "Jobs", "Ran", "Sweeping"]
