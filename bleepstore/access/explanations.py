"""Why a decision is as it is, for people."""

from __future__ import annotations

from typing import Unpack

import attrs

from bleepstore.access.actions import Action
from bleepstore.access.callers import ANONYMOUS, Caller
from bleepstore.access.decisions import Decision, Ground, decide, is_restricted, question_of
from bleepstore.access.identities import notes_on_policies
from bleepstore.access.policies import Asked, Facts, compile_policy, notes_on
from bleepstore.access.sessions import RoleSession
from bleepstore.errors import MalformedPolicy
from bleepstore.model import Bucket, ObjectVersion, Upload, User


@attrs.frozen(kw_only=True)
class Explanation:
    """A decision, and what led to it. As a text it is for people; `notes` has a line for each statement of the
    policy."""

    action: Action
    #: Of the bucket, or of the object.
    arn: str
    #: The id of the account that asks, or the ARN of the user; None: the program itself.
    principal_id: str | None
    decision: Decision
    notes: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.decision.allowed

    def __str__(self) -> str:
        answer = "allowed" if self.allowed else "denied"
        by, policy = self.decision.statement, self.decision.policy
        of = "" if policy is None else f" of {policy}"
        ground = self.decision.ground.value + (f" It is {by.name}{of} that decides." if by is not None else "")
        lines = [f"{self.action} on {self.arn} is {answer} to {self.principal_id or 'the program itself'}.", ground]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def explain(
    action: Action,
    caller: Caller | None,
    bucket: Bucket,
    subject: ObjectVersion | Upload | None = None,
    key: str | None = None,
    **facts: Unpack[Facts],
) -> Explanation:
    """What `authorize` would do, and what of the bucket's policy leads to that."""
    decision = decide(action, caller, bucket, subject, key, **facts)
    asked = question_of(action, caller or ANONYMOUS, bucket, subject, key, facts)
    notes: tuple[str, ...] = ()
    if caller is not None:
        notes = (f"The bucket belongs to {bucket.owner.id}.",)
        if isinstance(subject, ObjectVersion):
            notes += (f"The object belongs to {subject.owner.id}.",)
        if bucket.settings.policy is None:
            notes += ("The bucket has no policy.",)
        elif decision.ground is not Ground.POLICY_UNREADABLE:
            if is_restricted(caller, bucket):
                notes += ("The policy is public, and RestrictPublicBuckets lets it allow nothing to other accounts.",)
            notes += notes_on(compile_policy(bucket.settings.policy, bucket.name), asked)
        if caller.user is not None:
            notes += _notes_on_user(caller.user, asked)
    principal_id = None if caller is None else caller.principal.id
    return Explanation(action=action, arn=asked.arn, principal_id=principal_id, decision=decision, notes=notes)


def _notes_on_user(user: User | RoleSession, asked: Asked) -> tuple[str, ...]:
    policies = dict(user.policies)
    if isinstance(user, RoleSession) and user.policy is not None:
        policies["session"] = user.policy
    try:
        notes = notes_on_policies(policies, asked)
    except MalformedPolicy as error:
        notes = (f"A policy cannot be read: {error}",)
    account = f"The user belongs to {user.account.id}."
    return (account, *(notes or ("The user has no policy.",)))
