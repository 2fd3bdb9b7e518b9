"""Sentences that any document may have: without values, with values that no field asks for, and denials."""

from __future__ import annotations

from solver.training.prose.domain import Role
from solver.training.prose.kinds import Address, Clock, Count, Day, Money, Name

EXTRA_ROLES = {
    "other_person": Role(Name("person"), "other person", "", generic="name"),
    "other_day": Role(Day(), "other day", "", generic="date"),
    "other_phone": Role(Name("phone_number"), "other phone", "", generic="phone"),
    "other_email": Role(Address(), "other email", "", generic="email"),
    "other_amount": Role(Money(5, 900), "other amount", "", generic="amount"),
    "other_count": Role(Count(2, 60), "other count", "", generic="count"),
    "other_clock": Role(Clock(), "other time", "", generic="time"),
    "other_city": Role(Name("city"), "other city", "", generic="city"),
}
DISTRACTORS = (
    "[The help desk|Our switchboard] can be reached [on|at] {other_phone}.",
    "The office is closed on {other_day}.",
    "[My colleague|Our intern] {other_person} is on leave [this week|until {other_day}].",
    "General questions go to {other_email}.",
    "[By the way, the|The] canteen opens at {other_clock}.",
    "Lost and found [items cost|cards are replaced for] {other_amount}.",
    "[The last|An earlier] newsletter was sent on {other_day}.",
    "[Our archive has moved|The warehouse was moved] to {other_city}.",
    "{other_person} says hello.",
    "There are {other_count} [parking spaces|seats] in front of the building.",
    "[Complaints|Data protection requests] are handled by {other_person}.",
    "The [website|intranet] will be down on {other_day} from {other_clock}.",
)
FILLERS = (
    "[Please|Do] let us know if [anything|something] is unclear.",
    "[Thanks|Thank you] for your patience.",
    "[This message was|This text was] written in a hurry.",
    "More [details|information] will follow.",
    "[Nothing else|No further action] is needed for now.",
    "[As discussed|As agreed], the rest stays the same.",
    "All other terms are unchanged.",
    "[It has been|It was] a busy week.",
    "[Weather permitting|If all goes well], we will manage.",
    "Sorry for the [late reply|delay|confusion].",
    "[I double-checked|We checked] this with the team.",
    "See the attachment for the [full text|rest].",
    "[Feel free to|You can] forward this.",
    "Please keep this for your records.",
    "[Everybody|Everyone] was [happy|relieved] to hear it.",
)
DENIALS = (
    "No LABEL [was given|has been given|is known|is on file].",
    "The LABEL is [not known|still missing|to be confirmed|not yet known].",
    "[There is no|We have no|We do not have the] LABEL [yet|so far|on file].",
    "LABEL: [n/a|none|unknown|not given|to follow].",
    "[The LABEL will follow|LABEL was left blank on the form|LABEL not stated].",
)
