"""Policies: who may do what, as JSON in the language of IAM.

`document.py` parses and checks one, `asked.py` says what a request has under each condition key, and `evaluation.py`
which statement decides. All of it is pure: the same policy and the same question have the same answer.
"""

from bleepstore.access.policies.asked import Asked, Facts, undecided_in
from bleepstore.access.policies.document import MAX_POLICY_BYTES, Effect, Policy, Statement, compile_policy
from bleepstore.access.policies.evaluation import allows_some, deciding_statement
from bleepstore.access.policies.explaining import notes_on
from bleepstore.access.policies.public import is_public
from bleepstore.access.policies.trust import (
    Assumption,
    check_session_policy,
    check_trust_policy,
    may_assume,
    may_assume_by_web,
    may_pass,
    trusts_service,
)

__all__ = [
    "MAX_POLICY_BYTES",
    "Asked",
    "Assumption",
    "Effect",
    "Facts",
    "Policy",
    "Statement",
    "allows_some",
    "check_session_policy",
    "check_trust_policy",
    "compile_policy",
    "deciding_statement",
    "is_public",
    "may_assume",
    "may_assume_by_web",
    "may_pass",
    "notes_on",
    "trusts_service",
    "undecided_in",
]
