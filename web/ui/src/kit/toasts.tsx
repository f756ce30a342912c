import { Button } from './kit'
import { Store, useStore } from './store'

type Toast = { id: number; text: string; action?: { label: string; run: () => void } }

const SECONDS = 8
const toasts = new Store<readonly Toast[]>([])
let last = 0

const dismiss = (id: number) => toasts.set(toasts.get().filter((toast) => toast.id !== id))

/** Says something in the corner for a while, and to screen readers; with something that may be done about it. */
export function tell(text: string, action?: Toast['action']) {
  const id = ++last
  toasts.set([...toasts.get().slice(-3), { id, text, ...(action && { action }) }])
  setTimeout(() => dismiss(id), (action ? 2 : 1) * SECONDS * 1000)
}

export function Toasts() {
  return (
    <div className="toasts" role="status" aria-label="Messages">
      {useStore(toasts).map(({ id, text, action }) => (
        <div key={id} className="toast">
          <span>{text}</span>
          {action && (
            <Button
              onClick={() => {
                action.run()
                dismiss(id)
              }}
            >
              {action.label}
            </Button>
          )}
        </div>
      ))}
    </div>
  )
}
