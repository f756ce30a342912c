/** As a ref: should the element go while the focus is in it, the focus goes to what stands in its place then, else to what is
 * around it, and never to nowhere. */
export function handsOnFocus(element: HTMLElement | null) {
  return () => {
    if (!element?.contains(document.activeElement)) return
    const around = element.parentElement!
    const place = [...around.children].indexOf(element)
    queueMicrotask(() => {
      if (document.activeElement === document.body) heir(around, place).focus()
    })
  }
}

function heir(around: Element, place: number): HTMLElement {
  const main = document.getElementById('main')!
  const successor = around.children[place] ?? around.lastElementChild
  for (let within: Element | null = successor ?? around; within && main.contains(within); within = within.parentElement) {
    const found = within.querySelector<HTMLElement>('a, button, input, select')
    if (found) return found
  }
  return main
}
