//! Does what its first argument says, and prints what it sees.

use std::fmt::Debug;
use std::io::{Read, Write};
use wasip2::cli::{environment, stderr, stdin, stdout, terminal_stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{self as fs, Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::random::{insecure, insecure_seed, random};
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::{instance_network, ip_name_lookup, tcp, tcp_create_socket, udp, udp_create_socket};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let rest = &args[2..];
    match &*args[1] {
        "environment" => show_environment(),
        "cat" => cat(),
        "streams" => streams(),
        "splice" => splice(),
        "closed" => closed(),
        "too-much" => drop(stdout::get_stdout().write(&vec![0; 10 << 20])),
        "std-files" => std_files(&rest[0]),
        "files" => files(),
        "escape" => escape(),
        "read-only" => read_only(),
        "open-many" => open_many(),
        "clocks" => clocks(),
        "poll" => poll_several(),
        "poll-nothing" => drop(poll(&[])),
        "wait" => monotonic_clock::subscribe_duration(3_600_000_000_000).block(),
        "random" => randomness(),
        "random-too-much" => drop(random::get_random_bytes(1 << 40)),
        "tcp" => tcp_client(rest[0].parse().unwrap()),
        "tcp-server" => tcp_server(),
        "tcp-states" => tcp_states(),
        "udp" => udp_echo(rest[0].parse().unwrap()),
        "lookup" => lookup(&rest[0]),
        "drop-parent" => drop_parent(),
        "exit" => std::process::exit(rest[0].parse().unwrap()),
        "fail" => std::process::exit(1),
        other => panic!("{other}"),
    }
}

fn show_environment() {
    println!("{:?}", environment::get_arguments());
    println!("{:?}", environment::get_environment());
    println!("{:?}", environment::initial_cwd());
    println!("{}", terminal_stdout::get_terminal_stdout().is_some());
}

fn cat() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    std::io::stderr().write_all(text.to_uppercase().as_bytes()).unwrap();
    print!("{text}");
}

fn read_all(stream: &InputStream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(7) {
            Ok(bytes) => all.extend(bytes),
            Err(StreamError::Closed) => return all,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn streams() {
    let (input, output) = (stdin::get_stdin(), stdout::get_stdout());
    println!("{:?} {:?}", input.read(0), input.skip(3));
    println!("{:?}", input.blocking_skip(2));
    println!("{:?}", String::from_utf8(read_all(&input)));
    println!("{:?} {:?}", input.read(1).map_err(name), input.skip(1).map_err(name));
    println!("{}", output.check_write().unwrap() > 0);
    output.write(b"written\n").unwrap();
    output.flush().unwrap();
    output.blocking_flush().unwrap();
    output.blocking_write_and_flush(&[b'x'; 4096]).unwrap();
    output.write_zeroes(2).unwrap();
    output.blocking_write_zeroes_and_flush(3).unwrap();
    stderr::get_stderr().blocking_write_and_flush(b"to stderr").unwrap();
    output.subscribe().block();
}

fn name(error: StreamError) -> &'static str {
    match error {
        StreamError::Closed => "closed",
        StreamError::LastOperationFailed(_) => "failed",
    }
}

fn splice() {
    let (input, output) = (stdin::get_stdin(), stdout::get_stdout());
    let first = output.splice(&input, 4).unwrap();
    let mut rest = 0;
    while let Ok(count) = output.blocking_splice(&input, 1000) {
        rest += count;
    }
    println!(" {first} {rest}");
}

fn closed() {
    let output = stdout::get_stdout();
    let error = loop {
        if let Err(error) = output.blocking_write_and_flush(b"nobody reads this") {
            break error;
        }
    };
    eprintln!("{}", name(error));
}

fn std_files(dir: &str) {
    std::fs::write(format!("{dir}/a.txt"), "some text\n").unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(format!("{dir}/a.txt")).unwrap();
    file.write_all(b"more\n").unwrap();
    print!("{}", std::fs::read_to_string(format!("{dir}/a.txt")).unwrap());
    std::fs::create_dir_all(format!("{dir}/x/y")).unwrap();
    std::fs::rename(format!("{dir}/a.txt"), format!("{dir}/x/b.txt")).unwrap();
    let entries = std::fs::read_dir(format!("{dir}/x")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    println!("{names:?} {}", std::fs::metadata(format!("{dir}/x/b.txt")).unwrap().len());
    println!("{:?}", std::fs::File::open("/etc/passwd").map(|_| ()).map_err(|error| error.kind()));
    std::fs::remove_dir_all(format!("{dir}/x")).unwrap();
    println!("{}", std::fs::read_dir(dir).unwrap().count());
}

fn dir() -> Descriptor {
    let mut all = preopens::get_directories();
    assert_eq!(all.len(), 1);
    all.remove(0).0
}

/// An error code with a name.
trait Code {
    fn name(&self) -> &'static str;
}

impl Code for fs::ErrorCode {
    fn name(&self) -> &'static str {
        fs::ErrorCode::name(self)
    }
}

impl Code for ErrorCode {
    fn name(&self) -> &'static str {
        ErrorCode::name(self)
    }
}

fn show<T: Debug, E: Code>(what: &str, result: Result<T, E>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(code) => println!("{what}: {}", code.name()),
    }
}

const READ_WRITE: DescriptorFlags = DescriptorFlags::READ.union(DescriptorFlags::WRITE);

fn open(dir: &Descriptor, path: &str, open: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, fs::ErrorCode> {
    dir.open_at(PathFlags::empty(), path, open, flags)
}

fn files() {
    let dir = dir();
    println!("{:?}", preopens::get_directories().iter().map(|(_, name)| name.clone()).collect::<Vec<_>>());
    let file = open(&dir, "f", OpenFlags::CREATE | OpenFlags::EXCLUSIVE, READ_WRITE).unwrap();
    show("again", open(&dir, "f", OpenFlags::CREATE | OpenFlags::EXCLUSIVE, READ_WRITE).map(|_| ()));
    show("flags", file.get_flags());
    show("type", file.get_type());
    show("write", file.write(b"0123456789", 2));
    show("read", file.read(4, 0));
    show("read at the end", file.read(4, 100));
    show("size", file.set_size(8));
    let output = file.write_via_stream(1).unwrap();
    output.blocking_write_and_flush(b"AB").unwrap();
    file.append_via_stream().unwrap().blocking_write_and_flush(b"END").unwrap();
    println!("{:?}", String::from_utf8(read_all(&file.read_via_stream(0).unwrap())));
    let input = file.read_via_stream(3).unwrap();
    println!("{:?} {:?} {:?}", input.skip(2), input.read(100).map(|b| b.len()), input.read(1).map_err(name));
    show("advise", file.advise(0, 10, fs::Advice::Sequential));
    show("sync", file.sync().and(file.sync_data()).and(dir.sync()));
    let time = fs::NewTimestamp::Timestamp(wall_clock::Datetime { seconds: 1_000_000_000, nanoseconds: 5 });
    show("times", file.set_times(time, fs::NewTimestamp::NoChange));
    let bad = fs::NewTimestamp::Timestamp(wall_clock::Datetime { seconds: 1, nanoseconds: 1_000_000_000 });
    show("bad time", file.set_times(bad, fs::NewTimestamp::Now));
    let stat = file.stat().unwrap();
    println!("{:?} {} {} {:?}", stat.type_, stat.size, stat.link_count, stat.data_access_timestamp.map(|t| (t.seconds, t.nanoseconds)));
    show("directory", dir.create_directory_at("d"));
    show("again", dir.create_directory_at("d"));
    let sub = open(&dir, "d", OpenFlags::DIRECTORY, DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY).unwrap();
    show("flags", sub.get_flags());
    show("link", dir.link_at(PathFlags::empty(), "f", &sub, "g"));
    let linked = open(&sub, "g", OpenFlags::empty(), DescriptorFlags::READ).unwrap();
    println!("{} {}", file.is_same_object(&linked), file.is_same_object(&dir));
    let hash = |descriptor: &Descriptor| descriptor.metadata_hash().map(|hash| (hash.lower, hash.upper)).unwrap();
    let at = sub.metadata_hash_at(PathFlags::empty(), "g").map(|hash| (hash.lower, hash.upper)).unwrap();
    println!("{} {}", hash(&file) == at, hash(&file) == hash(&dir));
    show("symlink", sub.symlink_at("../f", "l"));
    show("readlink", sub.readlink_at("l"));
    show("no link", sub.readlink_at("g"));
    show("link itself", sub.stat_at(PathFlags::empty(), "l").map(|stat| stat.type_));
    show("linked", sub.stat_at(PathFlags::SYMLINK_FOLLOW, "g").map(|stat| stat.size));
    show("rename", sub.rename_at("g", &dir, "h"));
    show("times at", dir.set_times_at(PathFlags::empty(), "h", time, time));
    let entries = sub.read_directory().unwrap();
    while let Some(entry) = entries.read_directory_entry().unwrap() {
        println!("entry {:?} {}", entry.type_, entry.name);
    }
    show("not empty", dir.remove_directory_at("d"));
    show("unlink", sub.unlink_file_at("l"));
    show("remove", dir.remove_directory_at("d"));
    show("no directory", dir.unlink_file_at("nothing"));
    show("a file", open(&dir, "f/x", OpenFlags::empty(), DescriptorFlags::READ).map(|_| ()));
    show("as directory", open(&dir, "f", OpenFlags::DIRECTORY, DescriptorFlags::READ).map(|_| ()));
    let only_read = open(&dir, "f", OpenFlags::empty(), DescriptorFlags::READ).unwrap();
    show("write to it", only_read.write(b"x", 0));
    show("stream to it", only_read.write_via_stream(0).map(|_| ()));
    show("of a directory", dir.read(1, 0));
    show("directory of a file", file.read_directory().map(|_| ()));
}

fn escape() {
    let dir = dir();
    for path in ["../x", "/etc/passwd", "a/../../x", "link/passwd", "", "a\0b"] {
        let flags = DescriptorFlags::READ;
        let opened = dir.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), flags);
        show(&format!("{path:?}"), opened.map(|_| ()));
    }
    show("symlink", dir.symlink_at("/etc", "absolute"));
    show("rename", dir.rename_at("inside", &dir, "../outside"));
}

fn read_only() {
    let dir = dir();
    show("flags", dir.get_flags());
    show("create", open(&dir, "new", OpenFlags::CREATE, READ_WRITE).map(|_| ()));
    show("write", open(&dir, "inside", OpenFlags::empty(), READ_WRITE).map(|_| ()));
    show("truncate", open(&dir, "inside", OpenFlags::TRUNCATE, DescriptorFlags::READ).map(|_| ()));
    show("mutate", open(&dir, ".", OpenFlags::DIRECTORY, DescriptorFlags::MUTATE_DIRECTORY).map(|_| ()));
    show("remove", dir.unlink_file_at("inside"));
    let file = open(&dir, "inside", OpenFlags::empty(), DescriptorFlags::READ).unwrap();
    show("read", file.read(100, 0));
    show("size", file.set_size(0));
    show("times", file.set_times(fs::NewTimestamp::Now, fs::NewTimestamp::Now));
}

fn open_many() {
    let dir = dir();
    let mut open = Vec::new();
    let error = loop {
        match dir.open_at(PathFlags::empty(), "inside", OpenFlags::empty(), DescriptorFlags::READ) {
            Ok(file) => open.push(file),
            Err(error) => break error,
        }
    };
    println!("{} {}", open.len(), error.name());
    drop(open.pop());
    show("one more", dir.open_at(PathFlags::empty(), "inside", OpenFlags::empty(), DescriptorFlags::READ).map(|_| ()));
}

fn clocks() {
    let start = monotonic_clock::now();
    monotonic_clock::subscribe_duration(1_000_000).block();
    println!("{}", monotonic_clock::now() - start >= 1_000_000);
    let past = monotonic_clock::subscribe_instant(start);
    println!("{} {}", past.ready(), monotonic_clock::subscribe_duration(1_000_000_000_000).ready());
    println!("{} {}", monotonic_clock::resolution() > 0, wall_clock::resolution().nanoseconds > 0);
    println!("{:?}", wall_clock::now().seconds);
}

fn poll_several() {
    let late = monotonic_clock::subscribe_duration(1_000_000_000_000);
    let soon = monotonic_clock::subscribe_duration(2_000_000);
    let input = stdin::get_stdin();
    let readable = input.subscribe();
    println!("{:?}", poll(&[&late, &soon]));
    println!("{:?}", poll(&[&late, &readable]));
    println!("{:?}", String::from_utf8(input.read(100).unwrap()));
    println!("{:?}", poll(&[&soon, &late, &soon]));
}

fn randomness() {
    println!("{} {}", random::get_random_bytes(5).len(), random::get_random_bytes(5) == random::get_random_bytes(5));
    println!("{}", random::get_random_u64() == random::get_random_u64());
    println!("{:?} {}", insecure::get_insecure_random_bytes(3), insecure::get_insecure_random_u64());
    println!("{:?}", insecure_seed::insecure_seed());
}

fn local(port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) })
}

fn port(address: IpSocketAddress) -> u16 {
    match address {
        IpSocketAddress::Ipv4(address) => address.port,
        IpSocketAddress::Ipv6(address) => address.port,
    }
}

fn connect(to: u16) -> Result<(tcp::TcpSocket, InputStream, OutputStream), ErrorCode> {
    let network = instance_network::instance_network();
    let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&network, local(to))?;
    loop {
        match socket.finish_connect() {
            Ok((input, output)) => return Ok((socket, input, output)),
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            Err(error) => return Err(error),
        }
    }
}

fn tcp_client(to: u16) {
    let (socket, input, output) = match connect(to) {
        Ok(connected) => connected,
        Err(error) => return println!("{}", error.name()),
    };
    println!("{:?} {}", socket.address_family(), port(socket.remote_address().unwrap()) == to);
    output.blocking_write_and_flush(b"ping").unwrap();
    socket.shutdown(tcp::ShutdownType::Send).unwrap();
    println!("{:?}", output.check_write().map_err(name));
    println!("{:?}", String::from_utf8(read_all(&input)));
}

fn tcp_server() {
    let network = instance_network::instance_network();
    let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
    socket.start_bind(&network, local(0)).unwrap();
    socket.finish_bind().unwrap();
    socket.set_listen_backlog_size(8).unwrap();
    socket.start_listen().unwrap();
    socket.finish_listen().unwrap();
    println!("{}", socket.is_listening());
    show("accept", socket.accept().map(|_| ()));
    let own = port(socket.local_address().unwrap());
    println!("{own}");
    socket.subscribe().block();
    let (peer, input, output) = socket.accept().unwrap();
    println!("{}", port(peer.local_address().unwrap()) == own);
    let mut got = Vec::new();
    while got.len() < 5 {
        got.extend(input.blocking_read(100).unwrap());
    }
    output.blocking_write_and_flush(&got).unwrap();
    println!("{:?}", String::from_utf8(got));
}

fn tcp_states() {
    let network = instance_network::instance_network();
    let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
    show("finish bind", socket.finish_bind());
    show("local", socket.local_address().map(|_| ()));
    show("listen", socket.start_listen());
    show("accept", socket.accept().map(|_| ()));
    show("remote", socket.remote_address().map(|_| ()));
    show("shutdown", socket.shutdown(tcp::ShutdownType::Both));
    let v6 = IpSocketAddress::Ipv6(wasip2::sockets::network::Ipv6SocketAddress {
        port: 1,
        flow_info: 0,
        address: (0, 0, 0, 0, 0, 0, 0, 1),
        scope_id: 0,
    });
    show("other family", socket.start_bind(&network, v6));
    show("no port", socket.start_connect(&network, local(0)));
    let multicast = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 1, address: (224, 0, 0, 1) });
    show("multicast", socket.start_connect(&network, multicast));
    show("foreign", socket.start_bind(&network, IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (192, 0, 2, 1) })));
    show("backlog", socket.set_listen_backlog_size(0));
    show("keep alive", socket.set_keep_alive_enabled(true).and(socket.keep_alive_enabled()));
    show("idle", socket.set_keep_alive_idle_time(1).and(socket.keep_alive_idle_time()));
    show("no idle", socket.set_keep_alive_idle_time(0));
    show("interval", socket.set_keep_alive_interval(90_000_000_000).and(socket.keep_alive_interval()));
    show("count", socket.set_keep_alive_count(u32::MAX).and(socket.keep_alive_count()));
    show("hops", socket.set_hop_limit(42).and(socket.hop_limit()));
    show("no hops", socket.set_hop_limit(0));
    show("receive buffer", socket.set_receive_buffer_size(65536).and(socket.receive_buffer_size()));
    show("send buffer", socket.set_send_buffer_size(65536).and(socket.send_buffer_size()));
    show("no buffer", socket.set_send_buffer_size(0));
    show("bind", socket.start_bind(&network, local(0)));
    show("bind twice", socket.start_bind(&network, local(0)));
    show("local before the end", socket.local_address().map(|_| ()));
    show("finish", socket.finish_bind());
    println!("{:?} {}", socket.address_family(), socket.is_listening());
    socket.subscribe().block();
}

fn udp_echo(to: u16) {
    let network = instance_network::instance_network();
    let socket = udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4).unwrap();
    show("stream before bind", socket.stream(None).map(|_| ()));
    socket.start_bind(&network, IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) })).unwrap();
    socket.finish_bind().unwrap();
    show("hops", socket.set_unicast_hop_limit(9).and(socket.unicast_hop_limit()));
    let (incoming, outgoing) = socket.stream(None).unwrap();
    println!("{:?} {}", incoming.receive(10).map(|all| all.len()), outgoing.check_send().unwrap() > 0);
    let datagram = |data: &[u8], to| udp::OutgoingDatagram { data: data.to_vec(), remote_address: to };
    show("to nobody", outgoing.send(&[datagram(b"x", None)]));
    show("send", outgoing.send(&[datagram(b"one", Some(local(to))), datagram(b"two", Some(local(to)))]));
    let mut received = Vec::new();
    while received.len() < 2 {
        incoming.subscribe().block();
        received.extend(incoming.receive(10).unwrap());
    }
    for datagram in &received {
        println!("{:?} {}", String::from_utf8_lossy(&datagram.data), port(datagram.remote_address) == to);
    }
    drop((incoming, outgoing));
    let (incoming, outgoing) = socket.stream(Some(local(to))).unwrap();
    println!("{}", port(socket.remote_address().unwrap()) == to);
    outgoing.check_send().unwrap();
    show("connected", outgoing.send(&[datagram(b"three", None)]));
    show("to another", outgoing.send(&[datagram(b"x", Some(local(1)))]));
    incoming.subscribe().block();
    println!("{:?}", incoming.receive(1).map(|all| String::from_utf8_lossy(&all[0].data).into_owned()));
}

fn lookup(host: &str) {
    let network = instance_network::instance_network();
    let stream = match ip_name_lookup::resolve_addresses(&network, host) {
        Ok(stream) => stream,
        Err(error) => return println!("{}", error.name()),
    };
    let mut all = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Ok(Some(address)) => all.push(address),
            Ok(None) => break,
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            Err(error) => return println!("{}", error.name()),
        }
    }
    println!("{all:?}");
}

fn drop_parent() {
    let input = stdin::get_stdin();
    let pollable = input.subscribe();
    drop(input);
    pollable.block();
}
