import type { FetchResponse, ParamsOption, RequestBodyOption } from 'openapi-fetch';
import type { components, paths } from './openapi-types.js';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
export type Operation<M extends Method, P extends PathWith<M>> =
  paths[P] extends Record<M, infer O extends object> ? O : never;
export type PathWith<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, object> ? P : never;
}[keyof paths];

/** What an operation is asked with, as the OpenAPI document has it: another parameter or field is an error of types. */
type Asked<O, Other> = ParamsOption<O> & RequestBodyOption<O> & { readonly signal?: AbortSignal } & Other;
/** @typeParam Other what else a client takes */
export type Given<O, Other = object> =
  object extends Asked<O, Other> ? [asked?: Asked<O, Other>] : [asked: Asked<O, Other>];

/** What an operation answers as JSON. */
export type Answer<O extends object> = Exclude<
  FetchResponse<O, object, 'application/json'>['data'],
  undefined
>;

/** Things that the API takes and gives. */
export type Schemas = components['schemas'];
/** The answer to a GET. */
export type AnswerOf<P extends PathWith<'get'>> = Answer<Operation<'get', P>>;
/** The parameters of a GET. */
export type QueryOf<P extends PathWith<'get'>> = NonNullable<
  Operation<'get', P> extends { parameters: { query?: infer Q } } ? Q : never
>;
/** The body of a request. */
export type BodyOf<M extends Method, P extends PathWith<M>> = Extract<
  Operation<M, P> extends { requestBody?: { content: { 'application/json': infer B } } } ? B : never,
  object
>;
