/**
 * Lead the focus by the keys back, on, Home and End through some elements; past an end it stays, or goes round. Other
 * keys do nothing.
 */
export function walk(event: KeyboardEvent, elements: HTMLElement[], [back, on]: [string, string], isRound = true): void {
  const index = elements.findIndex((each) => each.contains(event.target as Node));
  const goal = { [back]: index - 1, [on]: index + 1, Home: 0, End: elements.length - 1 }[event.key];
  if (goal === undefined) return;
  event.preventDefault();
  (isRound ? elements.at(goal % elements.length) : elements[goal])?.focus();
}
