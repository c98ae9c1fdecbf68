// The tasks of a workflow as forms, made from the JSON Schema of each type.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { wrongAt } from '../draft';
import { ask, type Violation } from '../graphql';
import { Field, useLoad } from '../parts';
import type { Workflow, WorkflowTask } from '../types';

interface Schema {
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  default?: unknown;
}

export interface TaskType {
  name: string;
  description: string;
  argumentsSchema: Schema;
  example: Record<string, unknown>;
}

// Resource is one that a task may name.
export interface Resource {
  id: string;
  title: string;
}

export function Tasks({ workflow, types, resources, violations, set }: { workflow: Workflow; types: TaskType[]; resources: Resource[]; violations: Violation[]; set: (w: Workflow) => void }) {
  const tasks = workflow.tasks ?? [];
  const change = (index: number, task: WorkflowTask | undefined) => {
    const next = tasks.map((t, i) => (i === index ? task : t)).filter((t) => t !== undefined);
    set({ ...workflow, tasks: next });
  };
  const add = () => {
    const type = types.find((t) => t.name === 'util.noop') ?? types[0];
    let n = tasks.length + 1;
    while (tasks.some((t) => t.name === `task-${n}`)) n++;
    set({ ...workflow, tasks: [...tasks, { name: `task-${n}`, type: type?.name ?? '' }] });
  };
  return (
    <fieldset>
      <legend>What it does</legend>
      {tasks.map((task, i) => (
        <TaskForm key={i} index={i} task={task} types={types} resources={resources} others={tasks.filter((_, k) => k !== i).map((t) => t.name)} violations={violations} change={(t) => change(i, t)} />
      ))}
      <button type="button" onClick={add}>
        Add a task
      </button>
    </fieldset>
  );
}

interface TaskFormProps {
  index: number;
  task: WorkflowTask;
  types: TaskType[];
  resources: Resource[];
  others: string[];
  violations: Violation[];
  change: (task: WorkflowTask | undefined) => void;
}

function TaskForm({ index, task, types, resources, others, violations, change }: TaskFormProps) {
  const base = `workflow.tasks[${index}]`;
  const type = types.find((t) => t.name === task.type);
  const inputs = typeof task.inputs === 'string' ? [task.inputs] : (task.inputs ?? []);
  const choose = (name: string) => {
    const { args: _, ...rest } = task;
    const example = { ...types.find((t) => t.name === name)?.example };
    if ('resourceId' in example && resources[0]) example.resourceId = resources[0].id;
    change({ ...rest, type: name, ...(Object.keys(example).length ? { args: example } : {}) });
  };
  const setArg = (key: string, value: unknown) => {
    const args = { ...task.args };
    if (value === undefined) delete args[key];
    else args[key] = value;
    change({ ...task, args });
  };
  const properties = type?.argumentsSchema.properties ?? {};
  const isNeeded = (key: string) => type?.argumentsSchema.required?.includes(key) ?? false;
  // What is needed comes first, the resource before what is said of its remotes.
  const needed = Object.keys(properties).filter(isNeeded).sort((a, b) => Number(b === 'resourceId') - Number(a === 'resourceId'));
  const further = Object.keys(properties).filter((key) => !isNeeded(key));
  const remotes = useRemotes('resourceId' in properties ? String(task.args?.resourceId ?? '') : '');
  const argument = (key: string) => {
    const given = { value: task.args?.[key], wrong: wrongAt(violations, `${base}.args.${key}`), set: (value: unknown) => setArg(key, value) };
    if (key === 'resourceId') return <ResourceField key={key} resources={resources} {...given} />;
    return <Argument key={`${task.type}.${key}`} name={key} schema={properties[key] ?? {}} required={isNeeded(key)} more={key === 'remotes' && remotes} {...given} />;
  };
  return (
    <fieldset class="task">
      <legend>{task.name || `task ${index + 1}`}</legend>
      <Field label="Task name" wrong={wrongAt(violations, `${base}.name`)}>
        <input value={task.name} onInput={(e) => change({ ...task, name: e.currentTarget.value })} />
      </Field>
      <Field label="Type" {...(type ? { hint: type.description } : {})} wrong={wrongAt(violations, `${base}.type`)}>
        <select value={task.type} onChange={(e) => choose(e.currentTarget.value)}>
          {!type && <option>{task.type}</option>}
          {types.map((t) => (
            <option key={t.name}>{t.name}</option>
          ))}
        </select>
      </Field>
      {others.length > 0 && (
        <fieldset class="choices">
          <legend>After these have succeeded</legend>
          {others.map((name) => (
            <label key={name}>
              <input type="checkbox" checked={inputs.includes(name)} onChange={(e) => change({ ...task, inputs: e.currentTarget.checked ? [...inputs, name] : inputs.filter((i) => i !== name) })} /> {name}
            </label>
          ))}
          {wrongAt(violations, `${base}.inputs`) && <small class="wrong">{wrongAt(violations, `${base}.inputs`)}</small>}
        </fieldset>
      )}
      {needed.map(argument)}
      {further.length > 0 && (
        <Further key={task.type} open={further.some((key) => task.args?.[key] !== undefined)} wrong={further.some((key) => wrongAt(violations, `${base}.args.${key}`))}>
          {further.map(argument)}
        </Further>
      )}
      <button type="button" onClick={() => change(undefined)}>
        Remove the task
      </button>
    </fieldset>
  );
}

// useRemotes says which remotes a resource has.
function useRemotes(resource: string): string {
  const { data } = useLoad(
    async (signal) => {
      if (!resource) return '';
      const { getJobConfig: config } = await ask<{ getJobConfig: { remotes: { name: string }[] } | null }>('query ($id: ID!) { getJobConfig(resourceId: $id) { remotes { name } } }', { id: resource }, signal);
      const names = config?.remotes.map((r) => r.name) ?? [];
      return names.length ? ` ${resource} has: ${names.join(', ')}.` : ` ${resource} has none yet: see Credentials.`;
    },
    [resource],
  );
  return data ?? '';
}

// Further is arguments that most tasks leave out.
function Further({ open, wrong, children }: { open: boolean; wrong: boolean; children: ComponentChildren }) {
  const [atFirst] = useState(open);
  return (
    <details open={atFirst || wrong || undefined}>
      <summary>Further arguments</summary>
      {children}
    </details>
  );
}

interface GivenProps {
  value: unknown;
  wrong: string | undefined;
  set: (value: unknown) => void;
}

function ResourceField({ resources, value, wrong, set }: GivenProps & { resources: Resource[] }) {
  const now = String(value ?? '');
  return (
    <Field label="resourceId (needed)" hint="The resource whose credentials have the remotes." wrong={wrong}>
      <select value={now} onChange={(e) => set(e.currentTarget.value)}>
        {!resources.some((r) => r.id === now) && <option value={now}>{now}</option>}
        {resources.map((r) => (
          <option key={r.id} value={r.id}>
            {r.id} {r.title}
          </option>
        ))}
      </select>
    </Field>
  );
}

interface ArgumentProps extends GivenProps {
  name: string;
  schema: Schema;
  required: boolean;
  // What else is to be known about it.
  more: string | false;
}

function Argument({ name, schema, required, more, value, wrong, set }: ArgumentProps) {
  const label = required ? `${name} (needed)` : name;
  const kind = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  const hint = (schema.description ?? '') + (more || '');
  if (schema.enum) {
    return (
      <Field label={label} hint={hint} wrong={wrong}>
        <select value={String(value ?? '')} onChange={(e) => set(e.currentTarget.value || undefined)}>
          <option value="" />
          {schema.enum.map((v) => (
            <option key={String(v)}>{String(v)}</option>
          ))}
        </select>
      </Field>
    );
  }
  if (kind === 'boolean') {
    return (
      <Field label={label} hint={hint} wrong={wrong}>
        <input type="checkbox" checked={value === true} onChange={(e) => set(e.currentTarget.checked ? true : undefined)} />
      </Field>
    );
  }
  if (kind === 'integer' || kind === 'number') {
    return (
      <Field label={label} hint={hint} wrong={wrong}>
        <input type="number" value={typeof value === 'number' ? value : ''} onInput={(e) => set(Number.isNaN(e.currentTarget.valueAsNumber) ? undefined : e.currentTarget.valueAsNumber)} />
      </Field>
    );
  }
  if (kind === 'array' && schema.items?.type === 'string') {
    const lines = Array.isArray(value) ? value.join('\n') : String(value ?? '');
    return (
      <Field label={label} hint={`One a line. ${hint}`} wrong={wrong}>
        <textarea rows={2} value={lines} onInput={(e) => set(e.currentTarget.value ? e.currentTarget.value.split('\n') : undefined)} />
      </Field>
    );
  }
  if (kind === 'string' && typeof (value ?? '') === 'string') {
    return (
      <Field label={label} hint={hint} wrong={wrong}>
        <input value={String(value ?? '')} onInput={(e) => set(e.currentTarget.value || undefined)} />
      </Field>
    );
  }
  return <AnyValue label={label} hint={hint} value={value} wrong={wrong} set={set} />;
}

// AnyValue is an argument that no simpler input fits, as JSON.
function AnyValue({ label, hint, value, wrong, set }: { label: string; hint: string; value: unknown; wrong: string | undefined; set: (value: unknown) => void }) {
  const [text, setText] = useState(value === undefined ? '' : JSON.stringify(value));
  const [broken, setBroken] = useState<string>();
  const change = (next: string) => {
    setText(next);
    try {
      set(next ? (JSON.parse(next) as unknown) : undefined);
      setBroken(undefined);
    } catch (e) {
      setBroken(e instanceof Error ? e.message : 'no JSON');
    }
  };
  return (
    <Field label={label} hint={`${hint} As JSON.`} wrong={broken ?? wrong}>
      <textarea class="code" rows={2} value={text} onInput={(e) => change(e.currentTarget.value)} />
    </Field>
  );
}
