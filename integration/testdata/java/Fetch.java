import java.net.HttpURLConnection;
import java.net.URI;

// Fetch fetches a page with the roots of the runtime.
class Fetch {
	public static void main(String[] args) throws Exception {
		var connection = (HttpURLConnection) URI.create(args[0]).toURL().openConnection();
		System.out.println(connection.getResponseCode());
		connection.getInputStream().readAllBytes();
	}
}
