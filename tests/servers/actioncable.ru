# A server on Rails' ActionCable, under puma: `puma -b tcp://127.0.0.1:PORT actioncable.ru`, with FOLDER in
# the environment.
#
# FOLDER/token is who may sign in, FOLDER/received gets a line for each message that came. `POST /push?from=A&to=B`
# broadcasts an event for each number from A up to B, `POST /kick` closes every connection as an operator would.
#
# Rails works on messages and on broadcasts with several threads, which overtake each other. One worker, and an
# adapter that broadcasts where it stands, keep the order, so that the tests can ask for it.
require 'json'
require 'logger'
require 'action_controller/railtie'
require 'action_cable/engine'

FOLDER = ENV.fetch('FOLDER')

class Shop < Rails::Application
  config.root = FOLDER
  config.eager_load = false
  config.secret_key_base = 'not a secret: nothing is signed here'
  config.logger = Logger.new($stderr, level: Logger::WARN)
  config.log_level = :warn
  config.hosts.clear
  config.action_cable.worker_pool_size = Integer(ENV.fetch('WORKERS', '1'))
  config.action_cable.mount_path = '/cable'
  config.action_cable.disable_request_forgery_protection = true
  config.action_cable.connection_class = -> { Connection }
end

class Connection < ActionCable::Connection::Base
  identified_by :name

  def connect
    given = request.params[:token] || request.authorization.to_s.delete_prefix('Bearer ')
    reject_unauthorized_connection unless given == File.read("#{FOLDER}/token").strip
    self.name = 'guest'
  end
end

class ChatChannel < ActionCable::Channel::Base
  def subscribed
    return reject if params[:room] == 'locked'
    stream_from "chat:#{params[:room]}"
  end

  # What Rails programs usually do: tell everybody in the room, the sender too.
  def speak(data)
    File.open("#{FOLDER}/received", 'a') do |file|
      file.write("#{JSON.generate(n: data['n'], id: data['mid'])}\n")
    end
    ActionCable.server.broadcast("chat:#{params[:room]}", data.except('action').merge('type' => 'spoken'))
  end
end

Rails.application.initialize!

run(lambda do |env|
  request = Rack::Request.new(env)
  case request.path
  when '/push'
    (request.params['from'].to_i...request.params['to'].to_i).each do |n|
      ActionCable.server.broadcast('chat:1', { type: 'order', n: n })
    end
  when '/kick'
    ActionCable.server.connections.each { |connection| connection.send(:websocket).close }
  else
    next Rails.application.call(env)
  end
  [200, { 'Content-Type' => 'text/plain' }, ['done']]
end)
