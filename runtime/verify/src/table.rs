//! A table from fingerprints to numbers, for the states that the explorer has seen, in 20 bytes per place.
//!
//! Open addressing with linear probing: fingerprints are uniform, so their low bits are the place. Entries are never
//! removed.

use crate::fingerprint::Fingerprint;

/// Marks a free place.
const FREE: u32 = u32::MAX;

/// Fingerprint → number.
#[derive(Clone, Debug)]
pub struct Table {
    fingerprints: Vec<u128>,
    numbers: Vec<u32>,
    len: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { fingerprints: vec![0; 64], numbers: vec![FREE; 64], len: 0 }
    }
}

impl Table {
    /// The number of a fingerprint, if it is known.
    #[must_use]
    pub fn get(&self, fingerprint: Fingerprint) -> Option<u32> {
        let number = self.numbers[self.place(fingerprint.0)];
        (number != FREE).then_some(number)
    }

    /// Keeps a number, which is below `u32::MAX`, for a fingerprint that is not known yet.
    pub fn insert(&mut self, fingerprint: Fingerprint, number: u32) {
        // Two thirds full at most: a miss then looks at about five places.
        if (self.len + 1) * 3 > self.fingerprints.len() * 2 {
            self.grow();
        }
        let place = self.place(fingerprint.0);
        self.len += usize::from(self.numbers[place] == FREE);
        self.fingerprints[place] = fingerprint.0;
        self.numbers[place] = number;
    }

    /// How many fingerprints are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no fingerprint is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&self, fingerprint: u128) -> usize {
        let mask = self.fingerprints.len() - 1;
        let mut place = fingerprint as usize & mask;
        while self.numbers[place] != FREE && self.fingerprints[place] != fingerprint {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let size = self.fingerprints.len() * 2;
        let fingerprints = std::mem::replace(&mut self.fingerprints, vec![0; size]);
        let numbers = std::mem::replace(&mut self.numbers, vec![FREE; size]);
        for (fingerprint, number) in
            fingerprints.into_iter().zip(numbers).filter(|(_, number)| *number != FREE)
        {
            let place = self.place(fingerprint);
            self.fingerprints[place] = fingerprint;
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
            let fingerprint = Fingerprint::of(&number);
            assert_eq!(table.get(fingerprint), None);
            table.insert(fingerprint, number);
        }
        assert_eq!(table.len(), 10_000);
        for number in 0..10_000 {
            assert_eq!(table.get(Fingerprint::of(&number)), Some(number));
        }
    }

    #[test]
    fn prints_that_fall_on_one_place_are_kept_apart() {
        let mut table = Table::default();
        for number in 0..20_u32 {
            table.insert(Fingerprint(u128::from(number) << 64), number);
        }
        for number in 0..20 {
            assert_eq!(table.get(Fingerprint(u128::from(number) << 64)), Some(number));
        }
        assert_eq!(table.get(Fingerprint(21 << 64)), None);
    }
}
