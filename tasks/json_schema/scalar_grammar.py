"""The strings and numbers of the grammar of a schema's values, and the names of members.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> from solver.tasks.json_schema.formula import of_kind
>>> from solver.tasks.json_schema.source import Source
>>> compiler = Compiler({"type": "integer"}, usual=True, source=Source("four boys and 12 girls"))
>>> scalars = ScalarGrammar(compiler, max_bytes=16, members=MemberRules(compiler, 16), spaces=False)
>>> scalars.number_language(of_kind(compiler.formula(compiler.root), "number")).max_length
2
"""

from functools import cached_property

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.constants import constants_of_kind
from solver.tasks.json_schema.formula import YES, Formula, leaf
from solver.tasks.json_schema.members import MemberRules
from solver.tasks.json_schema.multiples import numbers_of
from solver.tasks.json_schema.numbers import number_automaton
from solver.tasks.json_schema.objects import ObjectPlan, QuotedRest, StringRest
from solver.tasks.json_schema.quotes import Given, name_texts, number_texts, string_texts, without_source
from solver.tasks.json_schema.strings import ALL_TEXT, PLAIN_TEXT, json_text, string_term
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import ByteAutomaton, TooLargeError, string_automaton
from solver.tasks.languages.grammar import Move
from solver.tasks.languages.shortest import fewest_characters
from solver.tasks.languages.term_structure import under_approximation
from solver.tasks.languages.word_graph import literals_automaton, without_words

NO_TEXT = literals_automaton(())


class ScalarGrammar:
    """The part of :class:`~solver.tasks.json_schema.grammar.SchemaGrammar` about strings, numbers and names.

    Args:
        compiler: translates the schema, and has the text that values are read off, if any.
        max_bytes: longest text of interest.
        members: has the template's literals.
        spaces: whether white space is allowed wherever JSON allows it.

    Attributes:
        omits_valid_texts: whether valid texts were left out, because the automaton had too many states.
    """

    def __init__(self, compiler: Compiler, max_bytes: int, members: MemberRules, spaces: bool) -> None:
        self.compiler, self.max_bytes, self.members, self.spaces = compiler, max_bytes, members, spaces
        self.omits_valid_texts = False

    @cached_property
    def given(self) -> Given:
        """The strings and numbers of the template."""
        return frozenset(self.members.skeleton.values) if self.compiler.source is not None else frozenset()

    def number_language(self, formula: Formula) -> ByteAutomaton:
        """The texts of the numbers of a formula."""
        constants = numbers_of(self.compiler, formula)
        if constants is not None:
            formula = leaf("among", frozenset(constants))
        elif (quoted := number_texts(self.compiler, formula, self.given)) is not None:
            return quoted
        formula = without_source(formula)
        try:
            return number_automaton(formula, self.max_bytes, self.compiler.usual, self.spaces)
        except TooLargeError:
            self.compiler.decline("number")
            return number_automaton(YES, self.max_bytes, self.compiler.usual, self.spaces)

    def _string(self, formula: Formula) -> Move:
        constants = constants_of_kind(self.compiler, formula)
        if constants is not None:
            return Move(literals_automaton(tuple(sorted(map(json_text, constants.values())))))
        quoted = string_texts(self.compiler, formula, self.max_bytes, self.given)
        if quoted is not None:
            return Move(b'"', goto=QuotedRest(quoted))
        return Move(b'"', goto=StringRest(string_term(formula, self.max_bytes)))

    def rest_of_all_strings(self, formula: Formula) -> ByteAutomaton | bytes:
        """The rests, after the opening quote, of a formula's strings, whether the text has them or not."""
        return self._string_rest(string_term(formula, self.max_bytes))

    def _respelled_strings(self, formula: Formula) -> list[Move]:
        """Strings of the template with other escapes."""
        spellings = self.members.skeleton.strings
        term = string_term(formula, self.max_bytes) if spellings else regex.NEVER
        allowed = [spelling for spelling in spellings if regex.matches(term, spelling.value)]
        return [Move(spelling.text, where=spelling.where) for spelling in allowed]

    def _string_rest(self, term: regex.Term) -> ByteAutomaton | bytes:
        """The automaton of a string's rest: exact, else narrower, else of all strings, as its size allows."""
        if fewest_characters(term) >= self.max_bytes:
            return NO_TEXT
        narrower = under_approximation(term), regex.and_((term, PLAIN_TEXT))
        for candidate in dict.fromkeys((term, *narrower, ALL_TEXT)):
            try:
                automaton = string_automaton(regex.start_state(candidate), self.max_bytes, quoted=True)
            except TooLargeError:
                self.compiler.decline("pattern", "string")
                self.omits_valid_texts = self.omits_valid_texts or candidate is term
                continue
            if candidate is term or automaton.min_length >= 0:
                return automaton
        raise AssertionError("the automaton of all strings is small")

    def _name_rest(self, plan: ObjectPlan, term: regex.Term) -> ByteAutomaton | bytes:
        known = frozenset(json_text(name)[1:] for name in plan.known)
        quoted = name_texts(self.compiler, term, self.max_bytes, self.given)
        if quoted is not None and (names := without_words(quoted, known)).min_length >= 0:
            return names
        try:
            names = string_automaton(regex.start_state(term), self.max_bytes, quoted=True)
        except TooLargeError:
            self.compiler.decline("patternProperties", "object")
            names = string_automaton(regex.start_state(ALL_TEXT), self.max_bytes, quoted=True)
        return without_words(names, known)
