// What the pages are made of. No page styles these itself.
import type { ButtonHTMLAttributes, ReactNode } from 'react'
import './kit.css'
import { handsOnFocus } from './focus'
import { tell } from './toasts'

export type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'info'

type ButtonProps = Omit<ButtonHTMLAttributes<HTMLButtonElement>, 'disabled'> & {
  kind?: 'plain' | 'primary' | 'quiet'
  /** Why it cannot be pressed now. It keeps its focus, and says why to whoever presses it. */
  blocked?: string | undefined
}

export function Button({ kind = 'plain', blocked, onClick, title, className = '', ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      className={`button ${kind} ${className}`}
      aria-disabled={blocked !== undefined || undefined}
      title={blocked ?? title}
      onClick={blocked === undefined ? onClick : () => tell(blocked)}
      {...rest}
    />
  )
}

export function Badge({ tone = 'plain', children, title }: { tone?: Tone; children: ReactNode; title?: string }) {
  return (
    <span className={`badge ${tone}`} title={title}>
      {children}
    </span>
  )
}

/** Something to read before going on; `role` alert where it has just gone wrong, else status. */
export function Notice(props: {
  tone: Tone
  title?: string
  role?: 'alert' | 'status' | 'note'
  actions?: ReactNode
  children?: ReactNode
}) {
  return (
    <div ref={handsOnFocus} className={`notice ${props.tone}`} role={props.role ?? 'status'}>
      {props.title && <p className="title">{props.title}</p>}
      {props.children && <div>{props.children}</div>}
      {props.actions && <div className="actions">{props.actions}</div>}
    </div>
  )
}

export function Panel({ title, actions, children }: { title: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <section className="panel" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {actions}
      </header>
      <div className="body">{children}</div>
    </section>
  )
}

/** Stands where something of this height will be. */
export function Skeleton({ height, width = '100%' }: { height: number; width?: string }) {
  return <span className="skeleton" style={{ height, width }} aria-hidden />
}

/** So many of them, while `label` is being loaded. */
export function Skeletons({ label, number, height, className }: SkeletonsProps) {
  return (
    <div className={className} role="group" aria-busy aria-label={label}>
      {Array.from({ length: number }, (_, index) => index).map((index) => (
        <Skeleton key={index} height={height} />
      ))}
    </div>
  )
}

type SkeletonsProps = { label: string; number: number; height: number; className?: string }

/** Nothing here, why, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div ref={handsOnFocus} className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}

export function Failure({ what, error, retry }: { what: string; error: string; retry: () => void }) {
  return (
    <Notice tone="bad" role="alert" title={what} actions={<Button onClick={retry}>Try again</Button>}>
      {error}
    </Notice>
  )
}

/** One of a few, of which each is seen. */
export function Choices<Value extends string>(props: {
  label: string
  name: string
  options: readonly (readonly [Value, string])[]
  value: Value
  onChange: (value: Value) => void
}) {
  return (
    <fieldset className="choices">
      <legend className="unseen">{props.label}</legend>
      {props.options.map(([value, text]) => (
        <label key={value}>
          <input
            className="unseen"
            type="radio"
            name={props.name}
            value={value}
            checked={props.value === value}
            onChange={() => props.onChange(value)}
          />
          {text}
        </label>
      ))}
    </fieldset>
  )
}

export function Field({ label, children }: { label: string; children: ReactNode }) {
  return (
    <label className="field">
      <span className="label">{label}</span>
      {children}
    </label>
  )
}

/** How much of it is done, in percent. */
export function Meter({ label, percent }: { label: string; percent: number }) {
  return (
    <span className="meter" role="progressbar" aria-label={label} aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}>
      <span style={{ width: `${percent}%` }} />
    </span>
  )
}

/** Scrolls by itself where it is too wide, also by the keyboard. */
export function Table({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="table-frame" role="region" aria-label={label} tabIndex={0}>
      <table className="table">{children}</table>
    </div>
  )
}

export function Facts({ facts }: { facts: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
