// Echo selector PORT               echoes connections to their ends, all by one thread with a Selector
// Echo threads PORT                the same by blocking sockets, a thread each
// Echo talk ADDRESS PORT COUNT     COUNT blocking sockets at a time, each echoed; prints how many rightly
// Echo channels ADDRESS PORT COUNT the same by non-blocking channels and a Selector
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;

class Echo {
    static final int SIZE = 100_000;

    static byte[] body(int number) {
        byte[] body = new byte[SIZE];
        for (int i = 0; i < SIZE; i++) {
            body[i] = (byte) (i * 31 + i / 251 + number);
        }
        return body;
    }

    /** What one connection of the selector has received and not sent back. */
    static final class Kept {
        final ByteBuffer bytes = ByteBuffer.allocate(16384);
        boolean ended;
    }

    static void selector(int port) throws IOException {
        Selector selector = Selector.open();
        ServerSocketChannel server = ServerSocketChannel.open();
        server.bind(new InetSocketAddress("0.0.0.0", port)).configureBlocking(false);
        server.register(selector, SelectionKey.OP_ACCEPT);
        while (true) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys()) {
                if (key.isAcceptable()) {
                    SocketChannel connection = server.accept();
                    if (connection != null) {
                        connection.configureBlocking(false);
                        connection.setOption(StandardSocketOptions.TCP_NODELAY, true);
                        connection.register(selector, SelectionKey.OP_READ, new Kept());
                    }
                } else {
                    move(key);
                }
            }
            selector.selectedKeys().clear();
        }
    }

    static void move(SelectionKey key) throws IOException {
        SocketChannel connection = (SocketChannel) key.channel();
        Kept kept = (Kept) key.attachment();
        if (key.isReadable() && connection.read(kept.bytes) < 0) {
            kept.ended = true;
        }
        kept.bytes.flip();
        connection.write(kept.bytes);
        kept.bytes.compact();
        if (kept.ended && kept.bytes.position() == 0) {
            connection.close();
            return;
        }
        boolean room = kept.bytes.hasRemaining() && !kept.ended;
        boolean left = kept.bytes.position() > 0;
        key.interestOps((room ? SelectionKey.OP_READ : 0) | (left ? SelectionKey.OP_WRITE : 0));
    }

    static void threads(int port) throws IOException {
        ServerSocket server = new ServerSocket(port);
        while (true) {
            Socket connection = server.accept();
            new Thread(() -> {
                try (connection) {
                    connection.getInputStream().transferTo(connection.getOutputStream());
                } catch (IOException e) {
                    e.printStackTrace();
                }
            }).start();
        }
    }

    static boolean talk(String address, int port, int number) throws Exception {
        byte[] sent = body(number);
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(address, port), 10_000);
            socket.setSoTimeout(20_000);
            Thread sender = new Thread(() -> {
                try {
                    socket.getOutputStream().write(sent);
                    socket.shutdownOutput();
                } catch (IOException e) {
                    e.printStackTrace();
                }
            });
            sender.start();
            byte[] back = socket.getInputStream().readAllBytes();
            sender.join();
            return Arrays.equals(sent, back);
        }
    }

    static int talks(String address, int port, int count) throws Exception {
        AtomicInteger right = new AtomicInteger();
        Thread[] threads = new Thread[count];
        for (int i = 0; i < count; i++) {
            int number = i;
            threads[i] = new Thread(() -> {
                try {
                    right.addAndGet(talk(address, port, number) ? 1 : 0);
                } catch (Exception e) {
                    e.printStackTrace();
                }
            });
            threads[i].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        return right.get();
    }

    /** What one channel has to send and has received. */
    static final class Talk {
        final ByteBuffer sent;
        final ByteBuffer back = ByteBuffer.allocate(SIZE + 1);

        Talk(int number) {
            sent = ByteBuffer.wrap(body(number));
        }
    }

    static int channels(String address, int port, int count) throws IOException {
        Selector selector = Selector.open();
        for (int i = 0; i < count; i++) {
            SocketChannel channel = SocketChannel.open();
            channel.configureBlocking(false);
            channel.connect(new InetSocketAddress(address, port));
            channel.register(selector, SelectionKey.OP_CONNECT, new Talk(i));
        }
        int right = 0;
        int underWay = count;
        while (underWay > 0 && selector.select(20_000) > 0) {
            for (SelectionKey key : selector.selectedKeys()) {
                right += serve(key) ? 1 : 0;
                underWay -= key.isValid() ? 0 : 1;
            }
            selector.selectedKeys().clear();
        }
        return right;
    }

    /** Whether the talk is over, and went well. */
    static boolean serve(SelectionKey key) throws IOException {
        SocketChannel channel = (SocketChannel) key.channel();
        Talk talk = (Talk) key.attachment();
        if (key.isConnectable() && channel.finishConnect()) {
            key.interestOps(SelectionKey.OP_READ | SelectionKey.OP_WRITE);
            return false;
        }
        if (key.isWritable()) {
            channel.write(talk.sent);
            if (!talk.sent.hasRemaining()) {
                channel.shutdownOutput();
                key.interestOps(SelectionKey.OP_READ);
            }
        }
        if (key.isReadable() && channel.read(talk.back) < 0) {
            channel.close();
            return talk.back.flip().equals(talk.sent.flip());
        }
        return false;
    }

    public static void main(String[] arguments) throws Exception {
        int[] numbers = Arrays.stream(arguments).skip(1)
            .filter(word -> word.matches("\\d+")).mapToInt(Integer::parseInt).toArray();
        switch (arguments[0]) {
            case "selector" -> selector(numbers[0]);
            case "threads" -> threads(numbers[0]);
            case "talk" -> System.out.println(talks(arguments[1], numbers[0], numbers[1]) + " right");
            case "channels" -> System.out.println(channels(arguments[1], numbers[0], numbers[1]) + " right");
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }
}
