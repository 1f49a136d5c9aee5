import { InFlightBudget, type BudgetHolder } from './in-flight-budget.ts';

class Holder implements BudgetHolder {
  holdsOnlyPartialFrame: boolean;
  resumed = 0;

  constructor(holdsOnlyPartialFrame = false) {
    this.holdsOnlyPartialFrame = holdsOnlyPartialFrame;
  }

  resumeReading(): void {
    this.resumed += 1;
  }
}

describe('InFlightBudget', () => {
  const settings = { maxBytes: 100, floorBytes: 10 };

  it('lets everybody read while it is not spent', () => {
    const budget = new InFlightBudget(settings);
    budget.take(100);
    expect(budget.mayRead(new Holder(), 100)).toBe(true);
  });

  it('stops who holds more than the floor, and no one else, once it is spent', () => {
    const budget = new InFlightBudget(settings);
    budget.take(101);
    expect(budget.mayRead(new Holder(), 11)).toBe(false);
    expect(budget.mayRead(new Holder(), 10)).toBe(true);
  });

  it('wakes as many as there is room for, in the order they stopped', () => {
    const budget = new InFlightBudget(settings);
    budget.take(120);
    const holders = [new Holder(), new Holder(), new Holder()];
    for (const holder of holders) budget.mayRead(holder, 40);
    budget.giveBack(35);
    expect(holders.map(({ resumed }) => resumed)).toEqual([1, 1, 0]);
    budget.giveBack(1);
    expect(holders.map(({ resumed }) => resumed)).toEqual([1, 1, 1]);
  });

  it('is spent when there is no memory left, as far as answers to requests can free some', () => {
    let roomBytes = 100;
    const budget = new InFlightBudget({ ...settings, roomBytes: () => roomBytes });
    roomBytes = -1;
    expect(budget.exhausted).toBe(false);
    budget.take(12);
    expect(budget.exhausted).toBe(false);
    budget.take(40);
    const holder = new Holder();
    expect(budget.mayRead(holder, 40)).toBe(false);
    roomBytes = 10;
    budget.giveBack(1);
    expect(holder.resumed).toBe(1);
    expect(budget.mayRead(holder, 40)).toBe(true);
  });

  it('wakes who waits when it is told that memory became free elsewhere', () => {
    let roomBytes = -1;
    const budget = new InFlightBudget({ ...settings, roomBytes: () => roomBytes });
    budget.take(50);
    const holder = new Holder();
    expect(budget.mayRead(holder, 40)).toBe(false);
    budget.lookAgain();
    expect(holder.resumed).toBe(0);
    roomBytes = 10;
    budget.lookAgain();
    expect(holder.resumed).toBe(1);
  });

  it('lets one half frame at a time go on although it is spent', () => {
    const budget = new InFlightBudget(settings);
    budget.take(150);
    const [first, second] = [new Holder(true), new Holder(true)];
    expect(budget.mayRead(first, 75)).toBe(true);
    expect(budget.mayRead(second, 75)).toBe(false);
    expect(budget.mayRead(first, 90)).toBe(true);
    budget.endPrivilege(first);
    expect(second.resumed).toBe(1);
    expect(budget.mayRead(second, 80)).toBe(true);
  });

  it('passes the privilege on when its holder is gone', () => {
    const budget = new InFlightBudget(settings);
    budget.take(150);
    const [first, second] = [new Holder(true), new Holder(true)];
    budget.mayRead(first, 75);
    budget.mayRead(second, 75);
    budget.forget(first);
    expect(second.resumed).toBe(1);
  });

  it('never wakes who is gone', () => {
    const budget = new InFlightBudget(settings);
    budget.take(150);
    const holder = new Holder();
    budget.mayRead(holder, 75);
    budget.forget(holder);
    budget.giveBack(150);
    expect(holder.resumed).toBe(0);
  });
});
