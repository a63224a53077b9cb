"""Templates that attack, and a program that renders them under a limit of memory.

``python chat_probes.py`` prints, for each probe, what came of it and the processor time that it took, as JSON.
"""

from __future__ import annotations

GROW = "{%% set ns = namespace(x=%s) %%}{%% for i in range(64) %%}{%% set ns.x = %s %%}{%% endfor %%}%s"
DEEP = "{%% set ns = namespace(x=%s) %%}{%% for i in range(%s) %%}{%% set ns.x = %s %%}{%% endfor %%}%s"
LARGE = "{% set x = 'ab' * 8000000 %}{% for i in range(99999) %}"
NUMBERS = "{% set x = range(100000) | list %}{% for i in range(99999) %}"

STOPPED = {
    # time
    "power": "{{ 10 ** 100000000 }}",
    "power of a power": "{{ ((2 ** 99) ** 99) ** 99 }}",
    "negative power": "{{ 3 ** -100000000 }}",
    "products": GROW % ("3", "ns.x * ns.x", "{{ ns.x }}"),
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "nested loops with output": "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "loops that show nothing": "{% for i in range(9999) %}{% for j in range(9999) if false %}{% endfor %}{% endfor %}",
    "conditions": "{% for i in range(99999) if (range(99999) | list | length) > 0 %}{% endfor %}",
    "endless macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "forking macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
    "silent forking macro": (
        "{% macro f(n) %}{% if n and f(n - 1) and f(n - 1) %}{% endif %}{% endmacro %}{{ f(40) }}"
        "{% macro g(n) %}{{ n and (g(n - 1) ~ g(n - 1)) }}{% endmacro %}{{ g(40) }}"
    ),
    "recursive loop": "{% for i in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}",
    "block": "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "caller": "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m() %}" * 15
    + "{% for i in range(999) %}x{% endfor %}"
    + "{% endcall %}" * 15,
    "sort": NUMBERS + "{{ x | sort | first }}{% endfor %}",
    "sum": NUMBERS + "{{ x | sum }}{% endfor %}",
    "max": NUMBERS + "{{ x | max }}{% endfor %}",
    "unique": NUMBERS + "{{ x | unique | first }}{% endfor %}",
    "select": NUMBERS + "{{ x | select('none') | list }}{% endfor %}",
    "map": NUMBERS + "{{ x | map('string') | join | length }}{% endfor %}",
    "in a list": NUMBERS + "{{ -1 in x }}{% endfor %}",
    "not in a list": NUMBERS + "{{ -1 not in x }}{% endfor %}",
    "index": NUMBERS + "{{ x.index(99999) }}{% endfor %}",
    "count": NUMBERS + "{{ x.count(1) }}{% endfor %}",
    "equal lists": NUMBERS + "{{ x == x[:] }}{% endfor %}",
    "equal lists, tested": NUMBERS + "{{ x is eq x }}{% endfor %}",
    "chain of comparisons": NUMBERS + "{{ x <= x <= x }}{% endfor %}",
    "characters": LARGE + "{% for c in x %}{% endfor %}{% endfor %}",
    "equal texts": LARGE + "{% if x ~ '' == x %}{% endif %}{% endfor %}",
    "find": LARGE + "{% if x.find('bb') %}{% endif %}{% endfor %}",
    "in a text": LARGE + "{% if 'bb' in x %}{% endif %}{% endfor %}",
    "worst search": "{% set x = 'a' * 16000000 %}{{ ('a' * 49 ~ 'b' ~ 'a' * 49) in x }}" * 20,
    "worst count": "{{ ('a' * 16000000).count('a' * 49 ~ 'b' ~ 'a' * 49) }}" * 20,
    "worst strip": "{{ ('a' * 8000000).strip('zyxwvutsrqponmlkjihgfedcba') | length }}" * 99,
    "slices": LARGE + "{{ x[1:] | length }}{% endfor %}",
    "upper": LARGE + "{{ x | upper | length }}{% endfor %}",
    "wordwrap": "{{ ('word ' * 1000000) | wordwrap(3) | length }}",
    "striptags": "{{ ('<!-- x -->' * 1000000) | striptags }}",
    "wordcount": "{{ ('a b ' * 4000000) | wordcount }}",
    "pprint": NUMBERS + "{{ x | pprint | length }}{% endfor %}",
    "title": "{{ ('a b ' * 4000000) | title | length }}",
    "tojson": NUMBERS + "{{ x | tojson | length }}{% endfor %}",
    "dict": "{% for i in range(99999) %}{% set d = dict(range(99) | batch(2, 0)) %}{% endfor %}" * 9,
    "percent": "{% for i in range(99999) %}{{ '%.400f' % 1e300 }}{% endfor %}",
    "lists of lists": "{{ (range(9999) | batch(1) | sum(start=[])) | length }}" * 9,
    "texts of lists": GROW % ("[1]", "[ns.x, ns.x]", "{{ ns.x }}"),
    # memory
    "ljust": "{{ 'a'.ljust(3000000000) }}",
    "rjust": "{{ 'a'.rjust(3000000000) }}",
    "centred": "{{ 'a'.center(3000000000) }}",
    "zfill": "{{ '1'.zfill(3000000000) }}",
    "expandtabs": "{{ ('\t' * 1000).expandtabs(3000000) }}",
    "percent width": "{{ '%3000000000d' % 1 }}",
    "percent precision": "{{ '%.3000000000f' % 1 }}",
    "percent star": "{{ '%*d' % (3000000000, 1) }}",
    "percent star precision": "{{ '%.*f' % (3000000000, 1.0) }}",
    "percent name": "{{ '%(a)3000000000s' % {'a': 1} }}",
    "percent many": "{{ ('%s' * 1000) % ((('a' * 1000000),) * 1000) }}",
    "percent repr": "{{ ('%r' * 100) % ((('\u200b' * 1000000),) * 100) }}",
    "format filter": "{{ '%3000000000d' | format(1) }}",
    "format filter by name": "{{ '%(a)3000000000d' | format(a=1) }}",
    "format width": "{{ '{:3000000000}'.format(1) }}",
    "format nested width": "{{ '{:{w}}'.format(1, w=3000000000) }}",
    "format precision": "{{ '{:.3000000000f}'.format(1.0) }}",
    "format of a method kept": "{% set f = '{:3000000000}'.format %}{{ f(1) }}",
    "format_map": "{{ '{a:3000000000}'.format_map({'a': 1}) }}",
    "format by attr": "{{ ('{:3000000000}' | attr('format'))(1) }}",
    "format many": "{{ ('{0}' * 1000).format('a' * 1000000) }}",
    "format repr": "{{ ('{0!r}' * 100).format('\u200b' * 1000000) }}",
    "text times": "{{ 'a' * 3000000000 }}",
    "times text": "{{ 3000000000 * 'a' }}",
    "list times": "{{ ([1] * 1000000000) | length }}",
    "tuple times": "{{ ((1, 2) * 1000000000) | length }}",
    "texts added": GROW % ("'aaaaaaaa'", "ns.x + ns.x", "{{ ns.x | length }}"),
    "texts joined by ~": GROW % ("'aaaaaaaa'", "ns.x ~ ns.x", "{{ ns.x | length }}"),
    "texts joined": GROW % ("'aaaaaaaa'", "[ns.x, ns.x] | join", "{{ ns.x | length }}"),
    "texts joined by a method": GROW % ("'aaaaaaaa'", "''.join([ns.x, ns.x])", "{{ ns.x | length }}"),
    "texts in a block": GROW % ("'aaaaaaaa'", "ns.x.replace('a', 'aa')", "{{ ns.x | length }}"),
    "separator": "{{ ('a' * 1000000).join(range(10000) | map('string')) | length }}",
    "lists added": GROW % ("[1]", "ns.x + ns.x", "{{ ns.x | length }}"),
    "centre filter": "{{ 'a' | center(3000000000) }}",
    "indent": "{{ 'a' | indent(3000000000) }}",
    "indent with text": "{{ ('a\n' * 100000) | indent('b' * 100000) }}",
    "indented block": "{% filter indent(3000000000, true) %}a{% endfilter %}",
    "replace": "{{ ('a' * 1000000).replace('', 'b' * 1000) }}",
    "replace filter": "{{ ('a' * 1000000) | replace('a', 'b' * 1000) }}",
    "wordwrap with text": "{{ ('a' * 10000) | wordwrap(1, wrapstring='b' * 100000) }}",
    "batch": "{{ [1] | batch(3000000000, 'x') | list }}",
    "slice": "{{ [1] | slice(3000000000) | list }}",
    "split": "{{ ('a ' * 8000000).split() | length }}",
    "split at": "{{ ('a,' * 8000000).split(',') | length }}",
    "lines": "{{ ('a\n' * 8000000).splitlines() | length }}",
    "list of characters": "{{ ('\u20ac' * 8000000) | list | length }}",
    "escape": "{{ ('&' * 15000000) | escape | length }}",
    "urlencode": "{{ ('\u20ac' * 5000000) | urlencode | length }}",
    "JSON indent": "{{ [1] | tojson(indent=3000000000) }}",
    "JSON indent, deep": "{{ [[[[[[[[1]]]]]]]] | tojson(indent=10000000) }}",
    "JSON separators": "{{ (range(10000) | list) | tojson(separators=('a' * 1000000, ':')) }}",
    "round": "{{ 1 | round(1000000000) }}",
    "round down": "{{ 1 | round(-1000000000) }}",
    "round up": "{{ 1.5 | round(1000000000, 'ceil') }}",
    "strftime": "{{ strftime_now('%Y' * 100000) }}",
    "output": "{% for i in range(99999) %}" + "x" * 100000 + "{% endfor %}",
    "output of values": "{% set x = 'a' * 16000000 %}{% for i in range(999) %}{{ x }}{% endfor %}",
    "captured": "{% set x %}{% for i in range(99999) %}" + "x" * 100000 + "{% endfor %}{% endset %}",
    "separator of characters": "{{ ('a' * 100000).join('b' * 100000) | length }}",
    "separator of characters, filter": "{{ ('b' * 100000) | join('a' * 100000) | length }}",
    "sorted characters": "{{ ('ab' * 8000000) | sort | length }}",
    "characters as arguments": "{{ cycler(*('\u20ac' * 16000000)).next() }}",
    "items as arguments": "{% for i in range(99999) %}{{ cycler(*(range(99999) | list)).next() }}{% endfor %}",
    "escaped output": "{% autoescape true %}{% set x = '&' * 16000000 %}{{ x }}{{ x }}{% endautoescape %}",
    "escaped sum": "{{ (('a' | safe) + '&' * 15000000) | length }}",
    "marks": "{% set x %}{% generation %}{% endgeneration %}{% endset %}"
    + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60,
    "marks within marks": "{% macro f(x, n) %}{% generation %}{{ x }}{{ x }}{% endgeneration %}{% endmacro %}"
    + "{% set x = '' %}"
    + "{% set x = f(x) %}" * 60,
    "deep list": DEEP % ("[]", 99999, "[ns.x]", "{{ ns.x }}"),
    "deep key": DEEP % ("()", 99999, "(ns.x,)", "{{ {ns.x: 1} }}"),
    "deep comparison": DEEP % ("[]", 99999, "[ns.x]", "{{ ns.x == [ns.x] }}"),
    "deep JSON": DEEP % ("[]", 99999, "[ns.x]", "{{ ns.x | tojson }}"),
    "call of a list of lists": GROW % ("[1]", "[ns.x, ns.x]", "{{ ns.x() }}"),
    # the way to Python
    "range": "{{ range(999999999) | list }}",
    "number": "{{ " + "9" * 5000 + " }}",
    "hexadecimal number": "{{ 0x" + "f" * 100000 + " }}",
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "nots": "{{ " + "not " * 5000 + "1 }}",
    "sums": "{{ " + "1+" * 5000 + "1 }}",
    "attributes": "{{ x" + ".y" * 5000 + " }}",
    "blocks": "{% for a in b %}" * 30 + "{% endfor %}" * 30,
    "tokens": "{{ a }}" * 50000,
    "source": "a" * 1000000,
    "no end": "{{ 'a",
    "meter by name": "{{ [-1000000] | map('formers step') | list }}",
}

SLOW_TO_COMPILE = {
    "branches": "".join(f"{{% if a %}}{{% set x{n} = 1 %}}{{% endif %}}" for n in range(1800)),
    "nested branches": "{% if a %}" * 90 + "{% set x = 1 %}" * 2000 + "{% endif %}" * 90,
    "filters": "{{ a" + "|upper" * 200 + " }}" * 1 + "{{ a|upper|lower|trim }}" * 2000,
    "constants": "{{ '" + "a" * 300000 + "' in '" + "a" * 100000 + "' }}",
}

# Lists that contain the one before twice: small as objects, endless as text.
DOUBLING = {
    "shown": GROW % ("[1]", "[ns.x, ns.x]", "{{ ns.x }}"),
    "as text": GROW % ("[1]", "[ns.x, ns.x]", "{{ (ns.x | string) | length }}"),
    "joined": GROW % ("[1]", "[ns.x, ns.x]", "{{ ns.x ~ '' }}"),
    "as JSON": GROW % ("[1]", "[ns.x, ns.x]", "{{ ns.x | tojson }}"),
    "formatted": GROW % ("[1]", "[ns.x, ns.x]", "{{ '%s' % (ns.x,) }}"),
    "formatted by a method": GROW % ("[1]", "[ns.x, ns.x]", "{{ '{}'.format(ns.x) }}"),
    "compared": GROW % ("[1]", "[ns.x, [] + ns.x]", "{{ ns.x == [] + ns.x }}"),
    "tested": GROW % ("[1]", "[ns.x, [] + ns.x]", "{{ ns.x is in [ns.x + []] }}"),
    "as a key": GROW % ("(1,)", "(ns.x, ns.x)", "{{ {ns.x: 1} }}"),
    "looked up": GROW % ("(1,)", "(ns.x, ns.x)", "{{ messages[0][ns.x] }}"),
    "got": GROW % ("(1,)", "(ns.x, ns.x)", "{{ messages[0].get(ns.x) }}"),
    "sorted": GROW % ("[1]", "[ns.x, [] + ns.x]", "{{ [ns.x, ns.x + []] | sort | length }}"),
    "in a mapping": GROW % ("{}", "{'a': ns.x, 'b': ns.x}", "{{ ns.x }}"),
    "in a view": GROW % ("{'a': 1}", "{'a': ns.x.items(), 'b': ns.x.items()}", "{{ ns.x }}"),
    "noticed by a loop": GROW
    % ("[1]", "[ns.x, [] + ns.x]", "{% for i in [1, 2] %}{{ loop.changed(ns.x + []) }}{% endfor %}"),
    "as a separator": GROW % ("[1]", "[ns.x, ns.x]", "{{ [1, 2] | join(ns.x) }}"),
    "replaced by": GROW % ("[1]", "[ns.x, ns.x]", "{{ 'a' | replace('a', ns.x) }}"),
    "indented": GROW % ("[1]", "[ns.x, ns.x]", "{{ ns.x | indent }}"),
    "as a format": GROW % ("[1]", "[ns.x, ns.x]", "{{ ns.x | format(1) }}"),
    "declared safe": GROW % ("[1]", "[ns.x, ns.x]", "{{ (ns.x | safe) | length }}"),
    "raised": GROW % ("[1]", "[ns.x, ns.x]", "{{ raise_exception(ns.x) }}"),
    "as a key of dict": GROW % ("(1,)", "(ns.x, ns.x)", "{{ dict([[ns.x, 1]]) }}"),
    "as a key of a namespace": GROW % ("(1,)", "(ns.x, ns.x)", "{{ namespace([[ns.x, 1]]) }}"),
    "as an attribute": GROW % ("(1,)", "(ns.x, ns.x)", "{{ messages | map(attribute=ns.x) | list }}"),
    "as a test": GROW
    % ("(1,)", "(ns.x, ns.x)", "{{ messages | select('in', [ns.x]) | list }}{{ ns.x is in {} }}"),
    "as an element that is missing": GROW % ("[1]", "[ns.x, ns.x]", "{{ messages[ns.x].y }}"),
    "in a text for HTML": GROW % ("[1]", "[ns.x, ns.x]", "{{ ('%s' | safe) % (ns.x,) }}"),
    "in a macro": "{% macro f(x, n) %}{{ f(x ~ x, n - 1) if n else x }}{% endmacro %}{{ f('aaaa', 60) }}",
}

REFUSED = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by item": "{{ ''['__class__']['__mro__'] }}",
    "class by attr": "{{ (messages | attr('__class__')).x }}",
    "class by map": "{{ (messages | map(attribute='__class__') | first).x }}",
    "class by format": "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "class by format_map": "{{ '{a.__class__.x}'.format_map({'a': 1}) }}",
    "class by attr and format": "{{ ('{0.__class__.x}' | attr('format'))('') }}",
    "globals of a function": "{{ raise_exception.__globals__.x }}",
    "globals of a helper": "{{ cycler.__init__.__globals__.os.x }}",
    "globals of a macro": "{% macro f() %}{% endmacro %}{{ f.__call__.__globals__.x }}",
    "macro's function": "{% macro f() %}{% endmacro %}{{ f._func.x }}",
    "context": "{{ self._TemplateReference__context.x }}",
    "environment": "{{ self.__init__.x }}",
    "loop": "{% for i in [1] %}{{ loop._iterator.x }}{% endfor %}",
    "namespace": "{{ namespace(a=1).__init__.x }}",
    "generator": "{{ (messages | map('length')).gi_frame.x }}",
    "append": "{{ messages.append(1) }}",
    "append by attr": "{{ (messages | attr('append'))(1) }}",
    "append by item": "{{ messages['append'](1) }}",
    "pop": "{{ messages[0].pop('role') }}",
    "update": "{{ messages[0].update(role='x') }}",
    "clear": "{{ messages[0].clear() }}",
    "setdefault": "{{ messages[0].setdefault('x', 1) }}",
    "sort in place": "{{ messages.sort() }}",
    "update of the type": "{{ dict.update(messages[0], {'role': 'x'}) }}",
    "to_bytes": "{{ (1).to_bytes(3000000000, 'big') }}",
    "translate": "{{ 'a'.translate({97: 'b'}) }}",
    "call a text": "{{ 'a'() }}",
    "call a name": "{{ eval('1') }}",
    "import": "{{ __import__('os') }}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends 'base' %}",
    "import a template": "{% import 'x' as y %}",
    "from a template": "{% from 'x' import y %}",
    "do": "{% do messages.append(1) %}",
    "debug": "{% debug %}",
    "lorem ipsum": "{{ lipsum(1000000) }}",
    "division": "{{ 1 / 0 }}",
    "types": "{{ 'a' + 1 }}",
    "a word for JSON": "{{ undefined_name | tojson }}",
    "unhashable": "{{ {[]: 1} }}",
}

HARMLESS = {
    "a deep list that is dropped": (
        DEEP % ("[]", 30000, "{1: [namespace(y=ns.x)]}.items()", "{% set ns.x = 1 %}done"),
        "done",
    ),
    "a name of a class": ("{{ messages.__class__ }}|{{ cycler.__class__ }}", "|"),
    "ordinary format": ("{{ '{0[0].role}-{1:>4}-{a!r}'.format(messages, 7, a='b') }}", "user-   7-'b'"),
    "a namespace within itself": (
        "{% set n = namespace() %}{% set n.n = n %}{{ n }}{{ [n] }}",
        "<Namespace>[<Namespace>]",
    ),
    "large numbers": ("{{ (2 ** 100 - 1) * 3 // 7 % 1000 }}", str((2**100 - 1) * 3 // 7 % 1000)),
    "long but allowed": ("{{ ('ab' * 8000000)[::-1] | length }}", "16000000"),
    "many steps": ("{% for i in range(90000) %}{% endfor %}done", "done"),
}


def main() -> None:
    import json
    import resource
    import time

    from formers.errors import TemplateError
    from formers.tokenization.chat.budget import Budget, Size
    from formers.tokenization.chat.rendering import render

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "there"}]
    harmless = {name: template for name, (template, _) in HARMLESS.items()}
    small = {f"doubling, {name}": template for name, template in DOUBLING.items()}
    found = {}
    for name, template in (STOPPED | REFUSED | SLOW_TO_COMPILE | harmless | small).items():
        budget = Budget(units=100_000) if name in small else Budget()
        start = time.thread_time()
        try:
            shown = render(template, "probe", {"messages": messages}, budget, Size(20, 7)).text[:200]
            kind = "text"
        except TemplateError as error:
            kind, shown = type(error).__name__, str(error)
        found[name] = (kind, shown, time.thread_time() - start)
    assert messages == [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "there"}]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
