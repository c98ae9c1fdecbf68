// The tasks of a workflow as forms, made from the JSON Schema of each type.

import { useState } from 'preact/hooks';
import { wrongAt } from '../draft';
import type { Violation } from '../graphql';
import { Field } from '../parts';
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

export function Tasks({ workflow, types, violations, set }: { workflow: Workflow; types: TaskType[]; violations: Violation[]; set: (w: Workflow) => void }) {
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
        <TaskForm key={i} index={i} task={task} types={types} others={tasks.filter((_, k) => k !== i).map((t) => t.name)} violations={violations} change={(t) => change(i, t)} />
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
  others: string[];
  violations: Violation[];
  change: (task: WorkflowTask | undefined) => void;
}

function TaskForm({ index, task, types, others, violations, change }: TaskFormProps) {
  const base = `workflow.tasks[${index}]`;
  const type = types.find((t) => t.name === task.type);
  const inputs = typeof task.inputs === 'string' ? [task.inputs] : (task.inputs ?? []);
  const choose = (name: string) => {
    const { args: _, ...rest } = task;
    const example = types.find((t) => t.name === name)?.example;
    change({ ...rest, type: name, ...(example && Object.keys(example).length ? { args: example } : {}) });
  };
  const setArg = (key: string, value: unknown) => {
    const args = { ...task.args };
    if (value === undefined) delete args[key];
    else args[key] = value;
    change({ ...task, args });
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
        <Field label="After" hint="Hold Ctrl to choose several." wrong={wrongAt(violations, `${base}.inputs`)}>
          <select multiple size={Math.min(4, others.length)} onChange={(e) => change({ ...task, inputs: [...e.currentTarget.selectedOptions].map((o) => o.value) })}>
            {others.map((name) => (
              <option key={name} selected={inputs.includes(name)}>
                {name}
              </option>
            ))}
          </select>
        </Field>
      )}
      {Object.entries(type?.argumentsSchema.properties ?? {}).map(([key, schema]) => (
        <Argument
          key={`${task.type}.${key}`}
          name={key}
          schema={schema}
          required={type?.argumentsSchema.required?.includes(key) ?? false}
          value={task.args?.[key]}
          wrong={wrongAt(violations, `${base}.args.${key}`)}
          set={(value) => setArg(key, value)}
        />
      ))}
      <button type="button" onClick={() => change(undefined)}>
        Remove the task
      </button>
    </fieldset>
  );
}

interface ArgumentProps {
  name: string;
  schema: Schema;
  required: boolean;
  value: unknown;
  wrong: string | undefined;
  set: (value: unknown) => void;
}

function Argument({ name, schema, required, value, wrong, set }: ArgumentProps) {
  const label = required ? `${name} (needed)` : name;
  const kind = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  const hint = schema.description ?? '';
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
      <Field label={label} hint={`${hint} One a line.`} wrong={wrong}>
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
