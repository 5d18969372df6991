"""The vendors' validation of a template: Microsoft's JSON schemas, Tableau's XSD, AWS's service
model.

The schemas are beside this file; MEDALLION_BI_SCHEMAS names another folder of the same form.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from jsonschema import Draft7Validator
from lxml import etree
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

SCHEMAS = Path(os.environ.get("MEDALLION_BI_SCHEMAS") or Path(__file__).parent / "schemas")
_XS = "{http://www.w3.org/2001/XMLSchema}"
_NAMESPACES = {
    "user": "http://www.tableausoftware.com/xml/user",
    "xml": "http://www.w3.org/XML/1998/namespace",
}
_SAMPLES = {
    "AWS::AccountId": "123456789012",
    "SecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:snowflake-AbCdEf",
    "PrincipalArn": "arn:aws:quicksight:eu-central-1:123456789012:user/default/ada",
    "SnowflakeHost": "xy12345.snowflakecomputing.com",
}


def power_bi_complaints(text: str) -> list[str]:
    """Of a JSON file of a Power BI project, by the schema that it names."""
    document = json.loads(text)
    registry = _power_bi_schemas()
    validator = Draft7Validator(registry.contents(document["$schema"]), registry=registry)
    return [f"{e.json_path}: {e.message[:200]}" for e in validator.iter_errors(document)]


@cache
def _power_bi_schemas() -> Registry[Any]:
    registry: Registry[Any] = Registry()
    for path in (SCHEMAS / "powerbi").rglob("*.json"):
        contents = json.loads(path.read_text(encoding="utf-8-sig"))
        place = path.relative_to(SCHEMAS / "powerbi").as_posix()
        address = f"https://developer.microsoft.com/json-schemas/{place}"
        resource = Resource.from_contents(contents, default_specification=DRAFT7)
        registry = registry.with_resource(address, resource)
    return registry


def tableau_complaints(workbook: str) -> list[str]:
    """Of a workbook, by Tableau's XSD."""
    schema = _tableau_schema()
    schema.validate(etree.fromstring(workbook.encode()))
    return [f"line {e.line}: {e.message[:200]}" for e in schema.error_log]


@cache
def _tableau_schema() -> etree.XMLSchema:
    """The XSD. What it imports from two other namespaces is not published: any value is allowed."""
    (path,) = (SCHEMAS / "tableau").rglob("*.xsd")
    text = path.read_text(encoding="utf-8")
    document = etree.fromstring(text.encode())

    class Imported(etree.Resolver):
        def resolve(self, url: str, identity: str, context: Any) -> Any:
            prefix = url.removesuffix(".xsd")
            parts = "".join(_declarations(document, prefix))
            return self.resolve_string(
                f'<xs:schema xmlns:xs="{_XS[1:-1]}" targetNamespace="{_NAMESPACES[prefix]}">'
                f"{parts}</xs:schema>",
                context,
            )

    for prefix, namespace in _NAMESPACES.items():
        start = f'<xs:import namespace="{namespace}"'
        text = text.replace(start, f'{start} schemaLocation="{prefix}.xsd"')
    parser = etree.XMLParser()
    parser.resolvers.add(Imported())
    return etree.XMLSchema(etree.fromstring(text.encode(), parser))


def _declarations(document: Any, prefix: str) -> Iterator[str]:
    for kind in ("attribute", "attributeGroup"):
        references = {e.get("ref", "") for e in document.iter(_XS + kind)}
        for name in sorted(r for r in references if r.startswith(f"{prefix}:")):
            inner = '<xs:anyAttribute processContents="skip"/>' if kind == "attributeGroup" else ""
            yield f'<xs:{kind} name="{name.partition(":")[2]}">{inner}</xs:{kind}>'


def quicksight_complaints(template: dict[str, Any]) -> list[str]:
    """Return the errors of a CloudFormation template by the service's own API model."""
    model = botocore.session.get_session().get_service_model("quicksight")
    complaints = []
    for name, resource in template["Resources"].items():
        kind = resource["Type"].rpartition("::")[2]
        properties = _resolved(resource["Properties"], template["Parameters"])
        shape = model.operation_model(f"Create{kind}").input_shape
        if report := ParamValidator().validate(properties, shape).generate_report():
            complaints.append(f"{name}: {report}")
        complaints += [f"{name}{c}" for c in _restrictions(properties, shape, "")]
    return complaints


def _resolved(value: Any, parameters: dict[str, Any]) -> Any:
    """A property with its functions worked out, as CloudFormation would."""
    if isinstance(value, list):
        return [_resolved(v, parameters) for v in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": name}:
            return _SAMPLES.get(name) or parameters[name]["Default"]
        case {"Fn::GetAtt": [name, "Arn"]}:
            return f"arn:aws:quicksight:eu-central-1:123456789012:any/{name}"
        case {"Fn::Sub": text}:
            return text.replace("${AWS::StackName}", "retail")
    return {k: _resolved(v, parameters) for k, v in value.items()}


def _restrictions(value: Any, shape: Any, path: str) -> Iterator[str]:
    """What botocore knows but does not look at: names, patterns, members, lengths."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            if name in shape.members:
                yield from _restrictions(inner, shape.members[name], f"{path}.{name}")
            else:
                yield f"{path}: there is no {name}"
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from _restrictions(inner, shape.member, f"{path}[{number}]")
    elif shape.type_name == "map":
        for name, inner in value.items():
            yield from _restrictions(name, shape.key, f"{path} key")
            yield from _restrictions(inner, shape.value, f"{path}.{name}")
    elif shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            yield f"{path}: {value} is none of {shape.enum}"
        if (pattern := shape.metadata.get("pattern")) and not re.fullmatch(
            pattern, value, re.DOTALL
        ):
            yield f"{path}: {value} does not match {pattern}"
    longest = shape.metadata.get("max")
    if longest and isinstance(value, str | list | dict) and len(value) > longest:
        yield f"{path}: longer than {longest}"
