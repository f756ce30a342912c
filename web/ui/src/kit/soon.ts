/** Runs it a moment after it was asked for: once for all who ask meanwhile, and never twice at a time. */
export function soon(run: () => Promise<void>, moment: number): (wait?: number) => void {
  let isDue = false
  let isAskedAgain = false
  return function ask(wait = moment) {
    isAskedAgain = true
    if (isDue) return
    isDue = true
    setTimeout(async () => {
      isAskedAgain = false
      await run()
      isDue = false
      if (isAskedAgain) ask()
    }, wait)
  }
}
