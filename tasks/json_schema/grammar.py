"""The grammar of a schema's values in canonical JSON.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> from solver.tasks.languages.grammar import recognise
>>> compiler = Compiler({"type": "object", "properties": {"a": {"type": "integer"}}})
>>> grammar = SchemaGrammar(compiler, max_bytes=256)
>>> recognise(grammar, b'{"a":1}'), recognise(grammar, b'{"a":"1"}')
(True, False)

Canonical text has no white space, is UTF-8, uses the short escapes, and writes members in the order in which
the schema names them, all others last. A node (objects.py) holds a formula: after each item or member it is
rewritten to what remains to hold (formula.py), so that "not", "oneOf" and "if" need no rules of their own.
Where a subschema may or may not hold, the grammar branches, and the value is written to match the branch.
"""

from collections.abc import Callable, Hashable
from decimal import Decimal
from functools import partial

from solver.tasks.json_schema.choices import value_choices, without_crowded
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.constants import constants_of, constants_of_kind, spell_out
from solver.tasks.json_schema.formula import (
    NO,
    YES,
    Demand,
    Formula,
    close_leaf,
    demand_in,
    item_demand,
    leaves,
    of_kind,
    rewrite,
    without_name,
)
from solver.tasks.json_schema.members import MemberRules, UnplacedNames
from solver.tasks.json_schema.objects import (
    AfterItem,
    AfterMember,
    AfterSpace,
    Document,
    DocumentEnd,
    EmptyArray,
    FirstItem,
    FirstMember,
    Item,
    KnownColon,
    Member,
    Node,
    ObjectPlan,
    QuotedRest,
    SpacedMember,
    StringRest,
    UnknownColon,
    UnknownName,
    Value,
)
from solver.tasks.json_schema.quotes import with_free_items
from solver.tasks.json_schema.scalar_grammar import ScalarGrammar
from solver.tasks.json_schema.skeleton import NO_SKELETON, Skeleton
from solver.tasks.json_schema.strings import json_text
from solver.tasks.languages.byte_automaton import (
    WHITE,
    explore,
)
from solver.tasks.languages.grammar import Move
from solver.tasks.languages.word_graph import literals_automaton

SPACE = explore(
    0, lambda _: [(WHITE, 1)], lambda state: state == 1, 2
)  # one or more characters of white space


class SchemaGrammar(ScalarGrammar):
    """The values of a schema, as a :class:`~solver.tasks.languages.grammar.Grammar`.

    Args:
        compiler: translates the schema and its subschemas into formulas.
        max_bytes: bytes of the canvas. Longer texts may be in the grammar or not.
        skeleton: the literals of a template, which determine the order of their names.
        spaces: whether white space is allowed wherever JSON allows it, for templates whose literals have
            white space. It is never generated in holes.
        unplaced: where all other names go: as the schema orders them, "before" or "after".
    """

    def __init__(
        self,
        compiler: Compiler,
        max_bytes: int,
        skeleton: Skeleton = NO_SKELETON,
        spaces: bool = False,
        unplaced: UnplacedNames = "among",
    ) -> None:
        super().__init__(compiler, max_bytes, MemberRules(compiler, max_bytes, skeleton, unplaced), spaces)
        self.root = compiler.formula(compiler.root)
        self.start: Hashable = Document(self.root) if spaces else Value(self.root)
        self._moves: dict[Hashable, tuple[Move, ...]] = {}

    @property
    def has_order(self) -> bool:
        """Whether some object may have several members, which the grammar writes in one order only."""
        return self.members.has_order or self.has_unknown_names

    @property
    def has_unknown_names(self) -> bool:
        """Whether some object may have a member that the schema does not name."""
        return any(isinstance(node, UnknownName) for node in self._moves)

    def is_unconstrained(self, node: Hashable) -> bool:
        """Whether the node is a value that the schema does not constrain."""
        return isinstance(node, Value) and node.formula is YES

    def min_length(self, node: Hashable) -> int:
        """Lower bound on the bytes of the node's texts."""
        return 0 if isinstance(node, DocumentEnd) else 1

    def moves(self, node: Hashable) -> tuple[Move, ...]:
        """The ways in which a text can continue at ``node``."""
        moves = self._moves.get(node)
        if moves is None:
            moves = self._moves[node] = tuple(self._expand(node))  # type: ignore[arg-type]  # see Node
        return moves

    def _expand(self, node: Node) -> list[Move]:
        match node:
            # values
            case Value(formula):
                return [*self._value(formula), *self._space(node)]
            case QuotedRest(texts):
                return [Move(texts)]
            case StringRest(term):
                return [Move(self._string_rest(term))]
            # arrays
            case FirstItem(formula):
                return [
                    *self._end(formula, b"]"),
                    Move(goto=Item(formula, 0)),
                    *self._space(node, EmptyArray(formula)),
                ]
            case EmptyArray(formula):
                return self._end(formula, b"]")
            case Item(formula, index):
                return self._item(formula, index)
            case AfterItem(formula, index):
                return [
                    *self._end(formula, b"]"),
                    Move(b",", goto=Item(formula, index)),
                    *self._space(node),
                ]
            # objects
            case FirstMember(plan, formula, index):
                return [
                    *self._end(formula, b"}"),
                    Move(goto=Member(plan, formula, index)),
                    *self._space(node),
                ]
            case Member(plan, formula, index) if index == len(plan.names):
                formula, classes = self.members.name_classes(formula)
                return [Move(b'"', goto=UnknownName(plan, formula, names)) for names in classes]
            case Member(plan, formula, index):
                return self._known_member(plan, formula, index)
            case UnknownName(plan, formula, (term, demands)):
                return [Move(self._name_rest(plan, term), goto=UnknownColon(plan, formula, demands))]
            case UnknownColon(plan, formula, demands):
                choices = self._member_value(b":", plan, formula, demand_in(demands), len(plan.names))
                return [*choices, *self._space(node)]
            case AfterMember(plan, formula, index):
                following = SpacedMember if self.spaces else Member
                return [
                    *self._end(formula, b"}"),
                    Move(b",", goto=following(plan, formula, index)),
                    *self._space(node),
                ]
            # white space
            case KnownColon(plan, formula, index):
                return [*self._known_value(plan, formula, index, b":"), *self._space(node)]
            case SpacedMember(plan, formula, index):
                member = Member(plan, formula, index)
                return [Move(goto=member), Move(SPACE, goto=member)]
            case Document(formula):
                return [Move(call=Value(formula), goto=DocumentEnd())]
            case DocumentEnd():
                return [Move(), Move(SPACE)]
            case AfterSpace(inner):
                return [move for move in self.moves(inner) if move.emit is not SPACE]
        raise TypeError(f"not a node of this grammar: {node!r}")

    def _space(self, node: Node, target: Node | None = None) -> list[Move]:
        """White space, where it is allowed; then ``target``, or the same node without further white space."""
        return [Move(SPACE, goto=target or AfterSpace(node))] if self.spaces else []

    def _end(self, formula: Formula, bracket: bytes) -> list[Move]:
        return [Move(bracket)] if rewrite(formula, close_leaf) is not NO else []

    def _value(self, formula: Formula) -> list[Move]:
        kinds = {
            kind: part
            for kind in ("null", "true", "false", "number", "string", "array", "object")
            if (part := of_kind(formula, kind)) is not NO
        }
        moves = [Move(kind.encode()) for kind in ("null", "true", "false") if kind in kinds]
        if "number" in kinds:
            moves.append(Move(self.number_language(kinds["number"])))
        if "string" in kinds:
            moves.append(self._string(kinds["string"]))
            moves += self._respelled_strings(kinds["string"])
        for kind in ("array", "object"):
            if kind in kinds:
                moves += self._container(kind, kinds[kind])
        return moves

    def _container(self, kind: str, formula: Formula) -> list[Move]:
        texts = self.constant_texts(formula)
        if texts is not None:
            return [Move(literals_automaton(tuple(sorted(texts.values()))))] if texts else []
        formula = without_crowded(self.compiler, spell_out(self.compiler, formula))
        if kind == "array":
            return [Move(b"[", goto=FirstItem(with_free_items(self.compiler, formula)))]
        rules, cases = self.members, self.members.cases(formula)
        return [
            Move(b"{", goto=FirstMember(*rules.remaining(plan, case, 0)), where=where)
            for plan, where in rules.plans(formula).items()
            for case in cases
        ]

    def constant_texts(self, formula: Formula) -> dict[Hashable, bytes] | None:
        """The texts of a formula about arrays or objects that has constants only, by their keys.

        None if it has other values, or if white space is allowed: constants are then written like others.
        """
        if self.spaces:
            return None
        constants = constants_of_kind(self.compiler, formula)
        return None if constants is None else {key: json_text(value) for key, value in constants.items()}

    def _item(self, formula: Formula, index: int) -> list[Move]:
        lengths = [len(part.parts[1].first) for part in leaves(formula) if part.parts[0] == "items"]
        following = min(index + 1, max(lengths, default=0))
        choices = value_choices(self.compiler, formula, partial(item_demand, index))
        moves = []
        for value, after in choices:
            text = self._single_text(value)
            call = Value(value) if text is None else None
            moves.append(Move(text or b"", call=call, goto=AfterItem(after, following)))
        return moves

    def _single_text(self, formula: Formula) -> bytes | None:
        """The text of a formula that has one value only, if it is written in one way only."""
        constants = None if self.spaces else constants_of(self.compiler, formula)
        if constants is None or len(constants) != 1:
            return None
        (value,) = constants.values()
        return None if isinstance(value, Decimal) else json_text(value)

    def _known_member(self, plan: ObjectPlan, formula: Formula, index: int) -> list[Move]:
        """The plan's name ``index``, or a later one if it is not required."""
        name = plan.names[index]
        if self.spaces:
            colon = KnownColon(plan, formula, index)
            moves = [Move(plan.prefixes[index][:-1], goto=colon)]
            names = self.members.skeleton.names
            moves += [Move(text, goto=colon, where=where) for text, value, where in names if value == name]
        else:
            moves = self._known_value(plan, formula, index, plan.prefixes[index])
        without = without_name(formula, name)
        if without is not NO:
            moves.append(Move(goto=Member(*self.members.remaining(plan, without, index + 1, formula))))
        return moves

    def _known_value(self, plan: ObjectPlan, formula: Formula, index: int, prefix: bytes) -> list[Move]:
        demand_of = partial(self.members.demand, plan.names[index])
        return self._member_value(prefix, plan, formula, demand_of, index + 1)

    def _member_value(
        self,
        prefix: bytes,
        plan: ObjectPlan,
        formula: Formula,
        demand_of: Callable[[Formula], Demand],
        following: int,
    ) -> list[Move]:
        """``prefix`` and a value. Members from the plan's name ``following`` on may come after it."""
        return [
            Move(
                prefix,
                call=Value(value),
                goto=AfterMember(*self.members.remaining(plan, after, following, formula)),
            )
            for value, after in value_choices(self.compiler, formula, demand_of)
        ]
