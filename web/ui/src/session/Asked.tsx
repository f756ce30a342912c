import { type InputHTMLAttributes, useId } from 'react'

export type AskedProps = InputHTMLAttributes<HTMLInputElement> & { label: string; hint: string; wrong: string | null }

/** A field with what it means, and what the service found wrong with it. */
export function Asked({ label, hint, wrong, ...input }: AskedProps) {
  const id = useId()
  return (
    <div className="field">
      <label className="label" htmlFor={id}>
        {label}
      </label>
      <input
        {...input}
        id={id}
        className="input"
        aria-invalid={wrong !== null}
        aria-describedby={wrong === null ? `${id}-hint` : `${id}-wrong ${id}-hint`}
      />
      {wrong !== null && (
        <p id={`${id}-wrong`} className="wrong" role="alert">
          {wrong}
        </p>
      )}
      <p id={`${id}-hint`} className="hint">
        {hint}
      </p>
    </div>
  )
}
