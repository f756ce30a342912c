import { useEffect, useRef } from 'react'
import { handsOnFocus } from './focus'
import { Button } from './kit'
import { Store, useStore } from './store'

type Action = { label: string; run: () => void; isUndo?: true }
type Toast = { id: number; text: string; action?: Action }

const SECONDS = 8
const UNDO_KEYS = /Mac|iP/.test(navigator.platform) ? '⌘Z' : 'Ctrl+Z'
const WRITTEN_IN = 'input:not([type=radio], [type=checkbox]), textarea, select'
const toasts = new Store<readonly Toast[]>([])
let last = 0

const dismiss = (id: number) => toasts.set(toasts.get().filter((toast) => toast.id !== id))

/** Says something in the corner for a while, and to screen readers; with something that may be done about it. */
export function tell(text: string, action?: Action) {
  toasts.set([...toasts.get().slice(-3), { id: ++last, text, ...(action && { action }) }])
}

function act({ id, action }: Toast) {
  dismiss(id)
  action?.run()
}

/** The keys that undo everywhere else: nobody should have to go through a page of symbols to the corner. */
function undoByKeys(event: KeyboardEvent) {
  const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === 'z'
  if (!isUndo || (event.target instanceof Element && event.target.matches(WRITTEN_IN))) return
  const undoable = toasts.get().findLast(({ action }) => action?.isUndo)
  if (!undoable) return
  event.preventDefault()
  act(undoable)
}

export function Toasts() {
  useEffect(() => {
    addEventListener('keydown', undoByKeys)
    return () => removeEventListener('keydown', undoByKeys)
  }, [])
  return (
    <div className="toasts" role="status" aria-label="Messages">
      {useStore(toasts).map((toast) => (
        <Message key={toast.id} toast={toast} />
      ))}
    </div>
  )
}

function Message({ toast }: { toast: Toast }) {
  const { id, text, action } = toast
  const shown = useRef<HTMLSpanElement>(null)
  useEffect(() => {
    const over = () => shown.current?.parentElement?.matches(':hover, :focus-within') || dismiss(id)
    const timer = setInterval(over, (action ? 2 : 1) * SECONDS * 1000)
    return () => clearInterval(timer)
  }, [id, action])
  return (
    <div ref={handsOnFocus} className="toast">
      <span ref={shown}>{text}</span>
      {action && (
        <Button onClick={() => act(toast)} aria-keyshortcuts={action.isUndo && 'Control+Z Meta+Z'}>
          {action.label}
          {action.isUndo && <kbd>{UNDO_KEYS}</kbd>}
        </Button>
      )}
    </div>
  )
}
