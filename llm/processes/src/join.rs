//! From a store to connections: each process leaves its address in the store, connects with those before it, and waits
//! for those after it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket,
};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::group::Group;
use crate::link::Lost;
use crate::store::Store;
use crate::timing::Timing;
use crate::world::World;

/// How long a connection may take to say whose it is (choice).
const INTRODUCTION: Duration = Duration::from_secs(5);

/// Bytes by which processes of one group know each other.
const TOKEN: usize = 16;

impl Group {
    /// Finds the other processes through the store, which process 0 keeps unless its launcher does; `kept` is one that it
    /// keeps already. `on_lost` is called when this process did not notice in time that another is lost: it should end it.
    pub fn join(
        world: &World,
        kept: Option<Store>,
        timing: Timing,
        on_lost: impl Fn(&Lost) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Self::join_while(world, kept, timing, &mut || Ok(()), on_lost)
    }

    /// The same, as long as the others can still come: process 0 asks `coming` while it waits for them.
    pub fn join_while(
        world: &World,
        kept: Option<Store>,
        timing: Timing,
        coming: &mut dyn FnMut() -> Result<(), Error>,
        on_lost: impl Fn(&Lost) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let meeting = Meeting { world, until: Instant::now() + timing.join, timing };
        let store = kept.map_or_else(|| meeting.store(), Ok)?;
        let streams = meeting.connect(&store, coming)?;
        let group = Self::new(world.rank, streams, timing, Box::new(on_lost));
        let group = group.map_err(|error| meeting.failed(&error))?;
        // Everybody has read what is in the store.
        group.wait()?;
        Ok(group)
    }
}

/// Processes on their way to a group.
struct Meeting<'a> {
    world: &'a World,
    until: Instant,
    timing: Timing,
}

impl Meeting<'_> {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    fn failed(&self, error: &io::Error) -> Error {
        let World { rank, size, .. } = self.world;
        Error::Join(format!("process {rank} of 0 to {} cannot be reached by the others: {error}", size - 1))
    }

    fn missing(&self, rank: usize, why: &str) -> Error {
        let World { size, address, port, .. } = self.world;
        let what = format!(
            "process {rank} of 0 to {} did not join within {} s through {address}:{port}{why}; all processes are started \
             together, with the same MASTER_ADDR and MASTER_PORT, on machines that reach each other",
            size - 1,
            self.timing.join.as_secs_f32(),
        );
        Error::Join(what)
    }

    fn not_answering(&self, rank: usize, address: &str, error: &io::Error) -> Error {
        let World { size, address: name, port, .. } = self.world;
        Error::Join(format!(
            "process {rank} of 0 to {} does not answer at {address}, the address that it left at {name}:{port} ({error}); \
             machines of one run reach each other on all ports",
            size - 1
        ))
    }

    fn store(&self) -> Result<Store, Error> {
        let World { rank, address, port, store_is_kept, .. } = self.world;
        if *rank == 0 && !store_is_kept {
            return Store::keep(address, *port, self.left()).map_err(|error| {
                Error::Join(format!(
                    "process 0 cannot listen at {address}:{port}: {error}; another MASTER_PORT may be free"
                ))
            });
        }
        Store::connect(address, *port, self.left()).map_err(|error| self.missing(0, &format!(" ({error})")))
    }

    /// A connection with every other process, by rank.
    fn connect(
        &self,
        store: &Store,
        coming: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<Vec<Option<TcpStream>>, Error> {
        let World { rank, size, attempt, .. } = self.world;
        // A launcher keeps its store for all commands of a worker: the second one does not read what the first one left.
        let round = store.count(&format!("tokensieve/{attempt}/joins/{rank}"))?;
        let key = |name: &dyn std::fmt::Display| format!("tokensieve/{attempt}/{round}/{name}");
        let failed = |error| self.failed(&error);
        let route = Route::to(self.world).map_err(failed)?;
        let listener = TcpListener::bind((route.listening(&self.world.address), 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        if *rank == 0 {
            store.set(&key(&"token"), &random_token())?;
        }
        let address = SocketAddr::new(route.own, listener.local_addr().map_err(failed)?.port());
        store.set(&key(rank), address.to_string().as_bytes())?;
        let not_found = |other, error: Error| self.missing(other, &format!(" ({error})"));
        let token = store.get(&key(&"token"), self.left()).map_err(|error| not_found(0, error))?;

        let mut streams: Vec<Option<TcpStream>> = (0..*size).map(|_| None).collect();
        for (other, place) in streams[..*rank].iter_mut().enumerate() {
            let found = store.get(&key(&other), self.left()).map_err(|error| not_found(other, error))?;
            let address = String::from_utf8_lossy(&found);
            let stream = self
                .call(&address, &route, &token)
                .map_err(|error| self.not_answering(other, &address, &error))?;
            *place = Some(stream);
        }
        while let Some(missing) = (rank + 1..*size).find(|other| streams[*other].is_none()) {
            coming()?;
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Some((other, stream)) = self.introduced(stream, &token) {
                        streams[other] = Some(stream);
                    }
                }
                Err(_) if Instant::now() < self.until => sleep(Duration::from_millis(5)),
                Err(_) => return Err(self.missing(missing, "")),
            }
        }
        Ok(streams)
    }

    /// Connects with a process that listens, and says who calls.
    fn call(&self, address: &str, route: &Route, token: &[u8]) -> io::Result<TcpStream> {
        let address = address.parse().map_err(|_| io::Error::other("that is no address"))?;
        let mut stream = TcpStream::connect_timeout(&route.reaching(address), self.left())?;
        stream.write_all(&[token, &(self.world.rank as u32).to_le_bytes()].concat())?;
        Ok(stream)
    }

    /// Whose connection it is; `None` if it is none of the group's.
    fn introduced(&self, mut stream: TcpStream, token: &[u8]) -> Option<(usize, TcpStream)> {
        stream.set_nonblocking(false).ok()?;
        stream.set_read_timeout(Some(INTRODUCTION.min(self.left()))).ok()?;
        let mut words = [0; TOKEN + 4];
        stream.read_exact(&mut words).ok()?;
        let (theirs, rank) = words.split_last_chunk()?;
        let rank = u32::from_le_bytes(*rank) as usize;
        (theirs == token && (self.world.rank + 1..self.world.size).contains(&rank)).then_some((rank, stream))
    }
}

fn random_token() -> [u8; TOKEN] {
    // The standard library's source of randomness: each state has keys of its own.
    let word = || RandomState::new().build_hasher().finish().to_le_bytes();
    let mut token = [0; TOKEN];
    token[..8].copy_from_slice(&word());
    token[8..].copy_from_slice(&word());
    token
}

/// Which way this machine sends what goes to the store's.
struct Route {
    /// The address of this machine on that way.
    own: IpAddr,
    /// The store's machine, as this one finds it.
    store: IpAddr,
}

impl Route {
    fn to(world: &World) -> io::Result<Self> {
        let World { address, port, .. } = world;
        let mut last = io::Error::other(format!("`{address}` has no address"));
        for target in (address.as_str(), *port).to_socket_addrs()? {
            let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            // Nothing is sent: the system says which way it would go.
            let way = UdpSocket::bind((any, 0)).and_then(|socket| {
                socket.connect(target)?;
                socket.local_addr()
            });
            match way {
                Ok(own) => return Ok(Self { own: own.ip(), store: target.ip() }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where to listen. Many machines have their own name at 127.0.1.1 in /etc/hosts: on the store's machine that name
    /// leads to no address by which others reach it, so it listens on all.
    fn listening(&self, name: &str) -> IpAddr {
        let is_local = name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        match self.own {
            IpAddr::V4(own) if own.is_loopback() && !is_local => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(own) if own.is_loopback() && !is_local => Ipv6Addr::UNSPECIFIED.into(),
            own => own,
        }
    }

    /// Where a process is reached that left this address: one that left its machine's own is beside the store.
    fn reaching(&self, left: SocketAddr) -> SocketAddr {
        let is_elsewhere = left.ip().is_loopback() && !self.own.is_loopback();
        if is_elsewhere { SocketAddr::new(self.store, left.port()) } else { left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_whose_name_leads_to_itself_is_reached_as_the_store_is() {
        let route = |own: [u8; 4], store: [u8; 4]| Route { own: own.into(), store: store.into() };
        let left = |address: &str| address.parse().unwrap();
        // /etc/hosts of node0: 127.0.1.1 node0.
        let (node0, node1) = (route([127, 0, 0, 1], [127, 0, 1, 1]), route([10, 9, 0, 2], [10, 9, 0, 1]));
        assert_eq!(node0.listening("node0").to_string(), "0.0.0.0");
        assert_eq!(node1.listening("node0").to_string(), "10.9.0.2");
        assert_eq!(node1.reaching(left("127.0.0.1:5")), left("10.9.0.1:5"));
        assert_eq!(node1.reaching(left("10.9.0.3:5")), left("10.9.0.3:5"));
        assert_eq!(node0.reaching(left("127.0.0.1:5")), left("127.0.0.1:5"));
        // All on one machine, which nobody else can reach.
        for name in ["localhost", "127.0.0.1"] {
            assert_eq!(node0.listening(name).to_string(), "127.0.0.1");
        }
    }
}
