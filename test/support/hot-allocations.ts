/** Finds constructs in compiled code that allocate or are slow: what test/architecture/hot-path.test.ts bans. */
import { type Comment, type Node, parse } from 'acorn';

/** In the doc comment of a function, or in the opening comment of a file: not on the hot path, with the reason. */
export const COLD_MARK = '@coldPath';

/** Syntax that allocates, throws or hides a loop. */
const BANNED_SYNTAX: Record<string, string> = {
  ObjectExpression: 'an object literal',
  ArrayExpression: 'an array literal',
  NewExpression: 'new',
  FunctionExpression: 'a closure',
  ArrowFunctionExpression: 'a closure',
  ClassExpression: 'a class expression',
  TemplateLiteral: 'template text',
  TaggedTemplateExpression: 'template text',
  SpreadElement: 'a spread',
  RestElement: 'rest parameters',
  ArrayPattern: 'array destructuring (it makes an iterator)',
  ForOfStatement: 'for..of',
  ForInStatement: 'for..in',
  TryStatement: 'try',
  ThrowStatement: 'throw',
  AwaitExpression: 'await',
  YieldExpression: 'yield',
};

const BANNED_CALLS = new Set(
  (
    'forEach map filter reduce reduceRight some every flat flatMap concat slice subarray splice push pop shift unshift ' +
    'join split sort reverse keys values entries from of toString padStart padEnd bind apply call'
  ).split(' '),
);

interface Finding {
  where: string;
  what: string;
}

type AnyNode = Node & Record<string, unknown>;

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && typeof (value as AnyNode).type === 'string';
}

/** What is wrong in one compiled file. */
export function findHotAllocations(code: string): Finding[] {
  const comments: Comment[] = [];
  const program = parse(code, {
    ecmaVersion: 'latest',
    sourceType: 'module',
    onComment: comments,
  }) as unknown as AnyNode;
  const isCold = (node: AnyNode): boolean => {
    const before = comments.filter(({ end }) => end <= node.start && code.slice(end, node.start).trim() === '');
    return before.some(({ value }) => value.includes(COLD_MARK));
  };
  const findings: Finding[] = [];
  if (comments[0]?.value.includes(COLD_MARK) && code.slice(0, comments[0].start).trim() === '') return findings;

  /** `where`: name of the hot function around `node`, or null outside of any. */
  const visit = (node: AnyNode, where: string | null): void => {
    if (where !== null) {
      const what = judge(node);
      if (what !== null) findings.push({ where, what });
    }
    for (const [key, value] of Object.entries(node)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (isNode(child)) enter(child, node, key, where);
      }
    }
  };

  const enter = (node: AnyNode, parent: AnyNode, key: string, where: string | null): void => {
    if (node.type === 'FunctionDeclaration') {
      if (isCold(node) || isCold(parent)) return;
      visit(node, nameOf(node.id));
    } else if (node.type === 'MethodDefinition') {
      if (node.kind === 'constructor' || isCold(node)) return;
      visit((node.value as AnyNode).body as AnyNode, nameOf(node.key));
    } else if (node.type === 'PropertyDefinition') {
      // Runs in the constructor; only a function that it holds is hot.
      const value = node.value;
      if (isNode(value) && isFunction(value) && !isCold(node)) visit(value.body as AnyNode, nameOf(node.key));
    } else if (where === null && isFunction(node)) {
      if (!isCold(node) && !isCold(parent)) visit(node.body as AnyNode, `the function in ${parent.type} ${key}`);
    } else {
      visit(node, where);
    }
  };

  visit(program, null);
  return findings;
}

function isFunction(node: AnyNode): boolean {
  return node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression';
}

function nameOf(node: unknown): string {
  return isNode(node) && typeof node.name === 'string' ? node.name : 'a function';
}

/** Why a node does not belong into a hot function, or null. */
function judge(node: AnyNode): string | null {
  const banned = BANNED_SYNTAX[node.type];
  if (banned !== undefined) return banned;
  if (node.async === true || node.generator === true) return 'an async function or generator';
  if (node.type === 'Literal' && typeof node.bigint === 'string') return 'a BigInt';
  if (node.type === 'Literal' && node.regex !== undefined) return 'a regular expression';
  if (node.type === 'UnaryExpression' && node.operator === 'delete') return 'delete';
  if (node.type !== 'CallExpression') return null;
  const callee = node.callee as AnyNode;
  if (callee.type !== 'MemberExpression') return null;
  const method = nameOf(callee.property);
  return BANNED_CALLS.has(method) ? `.${method}()` : null;
}
