"""Resolves intrinsic functions of CloudFormation from known values of parameters, resources and pseudo parameters."""

import re

NO_VALUE = object()


def resolved(node, values, conditions=None):
    """Returns a part of a template with its intrinsic functions replaced.

    `values` has parameters and resources by name (`Ref`), and attributes as `Resource.Attribute` (`Fn::GetAtt`);
    `conditions` is the `Conditions` section of the template.
    """

    def value(part):
        return resolved(part, values, conditions)

    if isinstance(node, list):
        return [part for part in map(value, node) if part is not NO_VALUE]
    if not isinstance(node, dict):
        return node
    match node:
        case {"Ref": "AWS::NoValue"}:
            return NO_VALUE
        case {"Ref": name}:
            return values[name]
        case {"Fn::GetAtt": path}:
            return values[path if isinstance(path, str) else ".".join(path)]
        case {"Fn::Sub": [text, names]}:
            return substituted(text, values | {name: value(part) for name, part in names.items()})
        case {"Fn::Sub": text}:
            return substituted(text, values)
        case {"Fn::Join": [delimiter, parts]}:
            return delimiter.join(value(parts))
        case {"Fn::Split": [delimiter, text]}:
            return value(text).split(delimiter)
        case {"Fn::Select": [index, parts]}:
            return value(parts)[int(index)]
        case {"Fn::If": [name, if_true, if_false]}:
            return value(if_true if holds({"Condition": name}, values, conditions) else if_false)
    members = {key: value(part) for key, part in node.items()}
    return {key: part for key, part in members.items() if part is not NO_VALUE}


def substituted(text, values):
    return re.sub(r"\$\{([^}!]+)\}", lambda name: values[name[1]], text)


def holds(condition, values, conditions=None):
    """Returns whether a condition, or an assertion of a rule, is true."""
    match condition:
        case {"Condition": name}:
            return holds(conditions[name], values, conditions)
        case {"Fn::Not": [negated]}:
            return not holds(negated, values, conditions)
        case {"Fn::Equals": [one, other]}:
            return resolved(one, values, conditions) == resolved(other, values, conditions)
    raise ValueError(f"unsupported condition: {condition}")
