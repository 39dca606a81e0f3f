import type { components } from "./api";
import { isObject, type Json, parseJson } from "./json";

type Schemas = components["schemas"];

/** A value of a type as parseJson returns it: read-only, and an integer may be a bigint. */
type Parsed<T> = unknown extends T
  ? Json
  : T extends number
    ? number | bigint
    : T extends object
      ? { readonly [K in keyof T]: Parsed<T[K]> }
      : T;

/** The legacy object. */
export type Core = Parsed<Schemas["composite-profile.core"]>;

/** The body of a 200 of /api/v3/composite-profile/{id}. errors has a message for each null member. */
export type Composite = Parsed<Schemas["composite-profile"]>;

/** The extension, from MongoDB. */
export type Extension = NonNullable<Composite["extension"]>;

/** Parses the body of a 200; undefined if it has another shape. */
export function parseComposite(body: string): Composite | undefined {
  const value = parseJson(body);
  if (!isObject(value)) {
    return undefined;
  }
  const { core, extension, errors } = value;
  const isComposite =
    (core === null || isCore(core)) && (extension === null || isExtension(extension)) && isStrings(errors);
  return isComposite ? { core, extension, errors } : undefined;
}

/** Parses a legacy body that passed; undefined if it is not a user. */
export function parseCore(body: string): Core | undefined {
  const value = parseJson(body);
  return isCore(value) ? value : undefined;
}

/** The error message in a body that is not a 200: weft's detail, or the error of the legacy service. */
export function parseDetail(body: string): string | undefined {
  const value = parseJson(body);
  if (!isObject(value)) {
    return undefined;
  }
  const said = value.detail ?? value.error;
  return typeof said === "string" ? said : undefined;
}

function isCore(value: Json | undefined): value is Json & Core {
  return (
    isObject(value) &&
    isInteger(value.userId) &&
    typeof value.username === "string" &&
    typeof value.email === "string" &&
    typeof value.createdAt === "string"
  );
}

function isExtension(value: Json | undefined): value is Json & Extension {
  return (
    isObject(value) &&
    isInteger(value.userId) &&
    isStrings(value.tags) &&
    (value.lastActivityScore === null || isNumber(value.lastActivityScore)) &&
    isObject(value.customSettings)
  );
}

function isInteger(value: Json | undefined): boolean {
  return Number.isInteger(value) || typeof value === "bigint";
}

function isNumber(value: Json | undefined): boolean {
  return typeof value === "number" || typeof value === "bigint";
}

function isStrings(value: Json | undefined): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
