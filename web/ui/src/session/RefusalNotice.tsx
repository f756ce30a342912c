import { Button, Notice } from '../kit/kit'
import type { Refusal } from './commands'

/** Why a command was not done, beside where it was given. */
export function RefusalNotice({ refusal, dismiss }: { refusal: Refusal | null; dismiss: () => void }) {
  if (!refusal) return null
  const { text, again } = refusal
  return (
    <Notice
      tone="warn"
      role="alert"
      actions={
        <>
          {again && <Button onClick={again.run}>{again.label}</Button>}
          <Button onClick={dismiss}>{again ? 'Leave it' : 'Dismiss'}</Button>
        </>
      }
    >
      {text}
    </Notice>
  )
}
