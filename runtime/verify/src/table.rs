//! A table from prints to numbers: what the explorer has seen, in 20 bytes per place.
//!
//! Open addressing with linear probing: prints are uniform, so their low bits are the place. Entries are never
//! removed.

use crate::print::Print;

/// Marks a free place.
const FREE: u32 = u32::MAX;

/// Print → number.
#[derive(Clone, Debug)]
pub struct Table {
    prints: Vec<u128>,
    numbers: Vec<u32>,
    len: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { prints: vec![0; 64], numbers: vec![FREE; 64], len: 0 }
    }
}

impl Table {
    /// The number of a print, if it is known.
    #[must_use]
    pub fn get(&self, print: Print) -> Option<u32> {
        let number = self.numbers[self.place(print.0)];
        (number != FREE).then_some(number)
    }

    /// Keeps a number, which is below `u32::MAX`, for a print that is not known yet.
    pub fn insert(&mut self, print: Print, number: u32) {
        // Two thirds full at most: a miss then looks at about five places.
        if (self.len + 1) * 3 > self.prints.len() * 2 {
            self.grow();
        }
        let place = self.place(print.0);
        self.len += usize::from(self.numbers[place] == FREE);
        self.prints[place] = print.0;
        self.numbers[place] = number;
    }

    /// How many prints are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no print is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&self, print: u128) -> usize {
        let mask = self.prints.len() - 1;
        let mut place = print as usize & mask;
        while self.numbers[place] != FREE && self.prints[place] != print {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let size = self.prints.len() * 2;
        let prints = std::mem::replace(&mut self.prints, vec![0; size]);
        let numbers = std::mem::replace(&mut self.numbers, vec![FREE; size]);
        for (print, number) in prints.into_iter().zip(numbers).filter(|(_, number)| *number != FREE) {
            let place = self.place(print);
            self.prints[place] = print;
            self.numbers[place] = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_print_keeps_its_number_through_growth() {
        let mut table = Table::default();
        assert!(table.is_empty());
        for number in 0..10_000 {
            let print = Print::of(&number);
            assert_eq!(table.get(print), None);
            table.insert(print, number);
        }
        assert_eq!(table.len(), 10_000);
        for number in 0..10_000 {
            assert_eq!(table.get(Print::of(&number)), Some(number));
        }
    }

    #[test]
    fn prints_that_fall_on_one_place_are_kept_apart() {
        let mut table = Table::default();
        for number in 0..20_u32 {
            table.insert(Print(u128::from(number) << 64), number);
        }
        for number in 0..20 {
            assert_eq!(table.get(Print(u128::from(number) << 64)), Some(number));
        }
        assert_eq!(table.get(Print(21 << 64)), None);
    }
}
